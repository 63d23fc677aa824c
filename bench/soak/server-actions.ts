/** What an operator does to the whole server, and what happens to it. Each resolves when it is over, or throws where it does not end. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import type { StatusReport } from '../../src/admin/reports.ts'
import { FAULT_NAMES } from './site-code.ts'
import type { SoakSite } from './sites.ts'
import { SITES } from './sites.ts'
import type { Action, Tools } from './tools.ts'
import { action, actionAlone } from './tools.ts'

/** From a fault until the last step against it is taken, with the process that is killed. */
const FAULT_LASTS_MS = 6_000

const modules = SITES.filter(({ kind }) => kind === 'module')
const offenders = SITES.filter(({ isOffender }) => isOffender)
/** For what is no site's. */
const server = SITES.slice(0, 1)

export class ServerActions {
  readonly #tools: Tools
  #rotations = 0

  constructor(tools: Tools) {
    this.#tools = tools
  }

  get all(): readonly Action[] {
    return [
      action(
        'reload',
        modules,
        async (site) => void (await this.#tools.world.admin('/reload', { site: site.name })),
        false,
      ),
      action('reload all', server, async () => void (await this.#tools.world.admin('/reload')), false),
      action('SIGHUP', server, async () => void process.kill(this.#tools.world.pid, 'SIGHUP'), false),
      action('rotate', server, () => this.#rotate()),
      action('edit vhostel.ini', server, () => this.#editServer()),
      action('kill worker', server, () => this.#signalWorker('SIGKILL'), false),
      action('stop worker', server, () => this.#signalWorker('SIGSTOP'), false),
      action('pause worker', server, () => this.#pauseWorker(), false),
      action('pause server', server, () => this.#pauseServer()),
      action('storm of reloads', server, () => this.#storm()),
      actionAlone('restart', server, () => this.#restart()),
      action('fault', offenders, (site) => this.#fault(site), false),
      action('fault', offenders, (site) => this.#fault(site), false),
      action('new certificate', server, () => this.#newCertificate()),
      action('no descriptors', server, () => this.#takeDescriptors()),
    ]
  }

  async #rotate(): Promise<void> {
    const log = (name: string): string => join(this.#tools.world.folder, 'log', name)
    const turn = ++this.#rotations
    for (const name of ['access', 'vhostel']) renameSync(log(`${name}.log`), log(`${name}-${turn}.log`))
    process.kill(this.#tools.world.pid, 'SIGUSR1')
    const there = (): boolean => readdirSync(log('.')).filter((name) => /^\w+\.log$/.test(name)).length === 2
    await this.#tools.until('new log files', () => Promise.resolve(there()))
  }

  async #editServer(): Promise<void> {
    const pick = (from: readonly string[]): string => this.#tools.random.pick(from)
    const more = pick(['', 'header_size = 48KB\n', 'cache_memory = 1MB\n', 'nonsense = 2\n'])
    this.#tools.world.writeServerIni(more, pick(['', '', 'timeout = 50s\n', 'compress = no\n', 'body_wait = 0s\n']))
    await delay(1_000)
    this.#tools.world.writeServerIni('')
    await this.#tools.until(
      'vhostel.ini to be right',
      async () => (await this.#tools.world.status())?.problems.length === 0,
    )
  }

  async #signalWorker(signal: 'SIGKILL' | 'SIGSTOP'): Promise<void> {
    const pids = pidsOf(await this.#tools.world.status())
    if (pids.length === 0) return
    const pid = this.#tools.random.pick(pids)
    const over = this.#tools.record.begin(`${signal} ${pid}`, 'loss')
    try {
      process.kill(pid, signal)
    } catch {
      return over()
    }
    await this.#tools.until(`${pid} to be gone`, async () => !pidsOf(await this.#tools.world.status()).includes(pid))
    over()
  }

  /** Stopped for a time that is too short to be killed for. */
  async #pauseWorker(): Promise<void> {
    const pids = pidsOf(await this.#tools.world.status())
    if (pids.length === 0) return
    const pid = this.#tools.random.pick(pids)
    const over = this.#tools.record.begin(`pause of ${pid}`, 'loss')
    try {
      process.kill(pid, 'SIGSTOP')
      await delay(this.#tools.random.below(900))
      process.kill(pid, 'SIGCONT')
    } catch {
      // It was killed.
    }
    over()
  }

  /** Costs nobody anything but time. */
  async #pauseServer(): Promise<void> {
    const { pid } = this.#tools.world
    process.kill(pid, 'SIGSTOP')
    await delay(this.#tools.random.pick([50, 500, 3_000]))
    process.kill(pid, 'SIGCONT')
  }

  async #storm(): Promise<void> {
    const { world, random } = this.#tools
    const asked = Array.from({ length: 12 }, async () => {
      await delay(random.below(400))
      if (random.chance(0.4)) process.kill(world.pid, 'SIGHUP')
      else await world.admin('/reload', random.chance(0.5) ? {} : { site: random.pick(modules).name })
    })
    await Promise.all(asked)
  }

  async #restart(): Promise<void> {
    const { world, record } = this.#tools
    const over = record.begin('restart', 'restart')
    console.log(`  ended in ${await world.restart()} ms`)
    over()
  }

  async #fault(site: SoakSite): Promise<void> {
    const fault = this.#tools.random.pick(FAULT_NAMES)
    const over = this.#tools.record.begin(`${site.name}: ${fault}`, 'loss')
    console.log(`  ${fault}`)
    await this.#tools.visitors.fault(site, fault)
    await delay(FAULT_LASTS_MS)
    over()
  }

  async #newCertificate(): Promise<void> {
    const before = await this.#certificate()
    this.#tools.world.writePair()
    await this.#tools.until('the new certificate', async () => (await this.#certificate()) !== before)
  }

  #certificate(): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>()
    const options = {
      port: this.#tools.world.tlsPort,
      host: '127.0.0.1',
      servername: 'fastify.test',
      rejectUnauthorized: false,
    }
    const socket = connectTls(options, () => {
      resolve(socket.getPeerCertificate().fingerprint256 ?? '')
      socket.destroy()
    })
    socket.on('error', (error) => resolve(`none: ${error.message}`))
    return promise.then((found) => (found.startsWith('none') ? '' : found))
  }

  /** The server has no descriptor left for a second. */
  async #takeDescriptors(): Promise<void> {
    const { pid } = this.#tools.world
    const over = this.#tools.record.begin('no descriptors', 'all')
    const limit = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))
    const [, soft = '1024', hard = '1024'] = limit ?? []
    const open = readdirSync(`/proc/${pid}/fd`).length
    execFileSync('prlimit', ['--pid', String(pid), `--nofile=${open + this.#tools.random.below(5)}:${hard}`])
    await delay(800)
    execFileSync('prlimit', ['--pid', String(pid), `--nofile=${soft}:${hard}`])
    over()
  }
}

/** The worker processes. */
function pidsOf(status: StatusReport | undefined): number[] {
  const groups = status?.pool.groups ?? []
  return groups.flatMap(({ processes }) => processes.flatMap(({ pid }) => (pid === undefined ? [] : [pid])))
}
