/** A process that a group grew by and does not need any more: real processes and threads, requests all the time. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { Recorder } from '../../src/advice/recorder.ts'
import { Exchange } from '../../src/pool/exchange.ts'
import { Pool } from '../../src/pool/pool.ts'
import type { PoolSite, SiteLimits } from '../../src/pool/pool-site.ts'
import type { ProcessGroup } from '../../src/pool/process-group.ts'
import { Renewal } from '../../src/pool/renewal.ts'
import { SHARED_BRAKE } from '../../src/pool/worker-process.ts'
import type { ResponseHead } from '../../src/protocol/frames.ts'
import { makeFolder } from '../helpers/folder.ts'

const LIMITS: SiteLimits = {
  timeoutMs: 20_000,
  queue: 1000,
  queueTimeoutMs: 10_000,
  stopTimeoutMs: 5_000,
  slowMs: 1_000,
  softLimitMs: 2_000,
  hardLimitMs: 10_000,
  offences: 100,
  quarantineMs: 0,
  idleMs: 0,
  preload: false,
  share: 0,
  max: 1,
  maxThreads: undefined,
}

const HEAD = {
  generation: 0,
  method: 'POST',
  url: '/',
  httpMinor: 1,
  headers: ['host', 'a.test'],
  remoteAddress: '127.0.0.1',
  remotePort: 1,
  localAddress: '127.0.0.1',
  localPort: 80,
  encrypted: false,
  keepAlive: true,
  upgrade: false,
}

/** Says where it runs, a little later: a request is nearly always open when something ends. */
const SITE = `module.exports = (req, res) => setTimeout(() => res.end(String(process.pid)), 20)`

/** A pool of processes, each with so many threads, and some sites. */
class Grounds {
  readonly pool: Pool
  readonly renewal: Renewal
  readonly sites: PoolSite[] = []
  readonly #folder: string
  #closed = false

  private constructor(pool: Pool, renewal: Renewal, folder: string) {
    this.pool = pool
    this.renewal = renewal
    this.#folder = folder
  }

  static async start(t: TestContext, processes: { min: number; max: number }, threads: { min: number; max: number }) {
    const folder = makeFolder(t, { 'app.cjs': SITE })
    const log = pino({ level: 'silent' })
    const limits = {
      memoryBytes: undefined,
      threadMemoryBytes: 512 * 1024 ** 2,
      processMemoryBytes: undefined,
      maxRequests: 0,
      maxAgeMs: 0,
    }
    const group = { name: 'default', pool: 'default', processes, threads, reason: '', limits, isOwn: false }
    const groups = [{ ...group, process: { env: process.env }, brake: SHARED_BRAKE }]
    const settings = { groups, runFolder: folder, concurrency: 100, recorder: new Recorder(performance.now(), 0) }
    const ignore = (): void => {}
    const handlers = {
      onOffence: ignore,
      onSuspects: ignore,
      onTraffic: ignore,
      onHomeless: ignore,
      onLoaded: ignore,
      onFiles: ignore,
      onSiteLog: ignore,
      onStale: ignore,
      onStarved: ignore,
    }
    const pool = await Pool.start(settings, handlers, log)
    const grounds = new Grounds(pool, new Renewal(pool, log), folder)
    t.after(() => grounds.close())
    return grounds
  }

  get group(): ProcessGroup {
    return this.pool.workforce.defaultGroup
  }

  addSites(count: number, limits: Partial<SiteLimits> = {}): void {
    for (let number = 0; number < count; number++) {
      const name = `s${this.sites.length}`
      const site = this.pool.addSite(name, { ...LIMITS, ...limits })
      site.order = {
        generation: this.sites.length + 1,
        site: name,
        root: this.#folder,
        module: join(this.#folder, 'app.cjs'),
        args: [],
        type: 'auto',
        httpPort: undefined,
        env: {},
        options: {},
        startTimeoutMs: 10_000,
        stopTimeoutMs: 5_000,
      }
      this.sites.push(site)
    }
  }

  /** @returns the process that answered @throws where the request failed */
  ask(site: PoolSite): Promise<number> {
    return new Promise((resolve, reject) => {
      let [status, text] = [0, '']
      const end = (): void => (status === 200 ? resolve(Number(text)) : reject(new Error(`${status} ${text}`)))
      const take = (chunk: Uint8Array): void => {
        text += Buffer.from(chunk).toString('latin1')
      }
      const exchange: Exchange = new Exchange(
        site,
        { ...HEAD },
        false,
        {
          onBodyWanted: () => {},
          onDrain: () => {},
          onInformational: () => {},
          onTunnel: () => {},
          onResponse: (head: ResponseHead, body, last) => {
            status = head.status
            take(body)
            if (last) end()
          },
          onBody: take,
          onEnd: end,
          onFailure: reject,
        },
        performance.now(),
      )
      this.pool.submit(site, exchange)
    })
  }

  /** Asks all sites again and again. @returns what ends that, and says how many were answered */
  visit(): () => Promise<number> {
    let isOver = false
    const visitors = this.sites.map(async (site) => {
      let answered = 0
      for (; !isOver; answered++) await this.ask(site)
      return answered
    })
    const all = Promise.all(visitors)
    all.catch(() => {})
    return async () => {
      isOver = true
      return (await all).reduce((sum, count) => sum + count, 0)
    }
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    for (const deadline = performance.now() + 20_000; !isSo(); await delay(5)) {
      if (performance.now() > deadline) throw new Error(`waited too long for ${what}`)
    }
  }

  /** One process more, with as many threads as are wanted then. */
  async grow(size: number): Promise<void> {
    this.group.resize(size)
    assert.ok(this.group.needsProcess)
    this.pool.workforce.startProcess(this.group)
    await this.until('the threads of the new process', () => this.group.ready === size)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.renewal.close()
    await this.pool.close()
  }
}

/** Threads of each process. */
function spread({ group }: Grounds): number[] {
  return group.processes.map((process) => group.threadsOf(process).length)
}

test('a process that is one too many is emptied and ends, and no request fails', async (t) => {
  const grounds = await Grounds.start(t, { min: 1, max: 2 }, { min: 1, max: 1 })
  const { group, renewal } = grounds
  await grounds.grow(2)
  grounds.addSites(6)
  await Promise.all(grounds.sites.map((site) => grounds.ask(site)))
  const pids = new Set(await Promise.all(grounds.sites.map((site) => grounds.ask(site))))
  assert.equal(pids.size, 2, 'both processes have sites')
  assert.equal(group.needsProcessLess, false)
  const end = grounds.visit()

  group.resize(1)
  const spare = group.spareProcess
  assert.ok(spare)
  const ended = spare.pid
  assert.equal(await renewal.endProcess(group, spare), true)

  assert.deepEqual(spread(grounds), [1])
  const left = new Set(await Promise.all(grounds.sites.map((site) => grounds.ask(site))))
  assert.deepEqual([left.size, left.has(ended ?? 0)], [1, false])
  assert.ok((await end()) > 0)
  assert.throws(() => process.kill(ended ?? 0, 0), { code: 'ESRCH' })
  assert.equal(group.spareProcess, undefined)
})

test('a thread that is still wanted is started in another process before the one that ends', async (t) => {
  const grounds = await Grounds.start(t, { min: 1, max: 2 }, { min: 1, max: 2 })
  const { group, renewal, pool } = grounds
  await grounds.grow(3)
  assert.deepEqual(spread(grounds), [1, 2])
  grounds.addSites(6)
  await Promise.all(grounds.sites.map((site) => grounds.ask(site)))
  const end = grounds.visit()

  group.resize(2)
  let least = group.ready
  const watch = setInterval(() => {
    least = Math.min(least, group.ready)
  }, 1)
  const [, grown] = group.processes
  const isDone = grown !== undefined && (await renewal.endProcess(group, grown))
  clearInterval(watch)

  assert.ok(isDone)
  assert.deepEqual(spread(grounds), [2])
  assert.equal(pool.workforce.threads.size, 2)
  assert.equal(least, 2)
  assert.ok((await end()) > 0)
})

test('a process that is needed after all goes on, with as many threads as are wanted', async (t) => {
  const grounds = await Grounds.start(t, { min: 1, max: 2 }, { min: 1, max: 1 })
  const { group, renewal } = grounds
  await grounds.grow(2)
  grounds.addSites(4)
  await Promise.all(grounds.sites.map((site) => grounds.ask(site)))
  const end = grounds.visit()

  group.resize(1)
  const spare = group.spareProcess
  assert.ok(spare)
  const isDone = renewal.endProcess(group, spare)
  // The first of its sites is on its way.
  group.resize(2)

  assert.equal(await isDone, false)
  assert.deepEqual([spread(grounds), spare.takesThreads], [[1, 1], true])
  assert.ok((await end()) > 0)
})

test('a process from which a site cannot be moved is not the one that ends', async (t) => {
  const grounds = await Grounds.start(t, { min: 1, max: 2 }, { min: 1, max: 1 })
  const { group } = grounds
  await grounds.grow(2)
  grounds.addSites(2)
  await Promise.all(grounds.sites.map((site) => grounds.ask(site)))
  group.resize(1)
  const [first, second] = group.processes
  const [inFirst] = [...(first === undefined ? [] : group.threadsOf(first))].flatMap(({ slot }) => [
    ...(slot?.lanes ?? []),
  ])
  const [inSecond] = [...(second === undefined ? [] : group.threadsOf(second))].flatMap(({ slot }) => [
    ...(slot?.lanes ?? []),
  ])
  assert.ok(inFirst && inSecond)

  const chosen = [inFirst, inSecond].map((lane) => {
    // As where the version that serves is another than the one on disk.
    lane.spreadable = false
    const { spareProcess } = group
    lane.spreadable = true
    return spareProcess
  })

  assert.deepEqual(chosen, [second, first])
  inFirst.spreadable = inSecond.spreadable = false
  assert.equal(group.spareProcess, undefined)
})

test('a thread from which a site cannot be moved does not keep the others from becoming fewer', async (t) => {
  const grounds = await Grounds.start(t, { min: 1, max: 1 }, { min: 1, max: 2 })
  const { group, renewal, pool } = grounds
  group.resize(2)
  await pool.workforce.startThread(group.name)
  grounds.addSites(6)
  await Promise.all(grounds.sites.map((site) => grounds.ask(site)))
  const [least] = [...group.threads].sort((a, b) => a.live.size - b.live.size)
  // As where the version that serves is another than the one on disk.
  for (const lane of least?.slot?.lanes ?? []) lane.spreadable = false

  group.resize(1)
  renewal.shrink(group)
  await grounds.until('a thread less', () => [...group.threads].length === 1)

  assert.deepEqual([...group.threads], [least])
  for (const site of grounds.sites) await grounds.ask(site)
})
