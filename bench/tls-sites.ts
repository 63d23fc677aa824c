/**
 * Many sites with a certificate each, beside nginx and Caddy with the very same: from the command to the first handshake,
 * memory before and after each was visited, and what a handshake costs.
 *
 * `node bench/tls-sites.ts [--quick]`. Needs openssl, nginx and Caddy. vhostel is this checkout, compiled as it is published.
 *
 * All handshakes are whole ones of TLS 1.3 with X25519 and ECDSA P-256; no session is taken up. The client is one Node process on the
 * same machine, and slower than any of the servers: what counts is the processor time of all processes of the server, from which
 * handshakes a second of one core are reckoned. Memory is PSS, summed.
 */
import { connect } from 'node:tls'
import { buildVhostel } from './built.ts'
import type { Child } from './children.ts'
import { until } from './children.ts'
import { freePort } from './free-port.ts'
import { describeMachine, missingTools, thisMachine } from './machine.ts'
import { cpuUs, pssBytes } from './process-tree.ts'
import { showProgress } from './progress.ts'
import { quietMoment } from './quiet.ts'
import { median, megabytes, printTable, whole } from './table.ts'
import { removeFolder, temporaryFolder } from './temporary-folder.ts'
import { makeCertificates } from './tls-certificates.ts'
import type { TlsContender, TlsSites } from './tls-contenders.ts'
import { caddyTls, makeRoot, nginxTls, vhostelTls } from './tls-contenders.ts'
import { SiteFolder } from './vhostel.ts'

/** Handshakes at a time. */
const HANDS = 8
/** After the start, before memory is taken. */
const SETTLE_MS = 3_000
const START_DEADLINE_MS = 60_000
const VISIT_DEADLINE_MS = 10_000

const quick = process.argv.includes('--quick')
const counts = [10, 1_000]
const rounds = quick ? 1 : 3
const handshakes = quick ? 1_000 : 2_000

interface Figures {
  contender: string
  startMs: number
  /** Processor time until the first handshake, µs: what others on the machine change little. */
  startCpuUs: number
  idleBytes: number
  visitedBytes: number
  /** Processor time, µs. */
  handshakeUs: number
}

/**
 * One whole handshake, and where `path` is given one request.
 *
 * @throws unless the certificate, and the answer, are those of the site
 */
function shake(port: number, site: number, path?: string): Promise<void> {
  const servername = `site${site}.test`
  return new Promise((done, failed) => {
    const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false, ecdhCurve: 'X25519' }
    const socket = connect({ ...options, minVersion: 'TLSv1.3' }, () => {
      const name = socket.getPeerCertificate().subject.CN
      if (name !== servername) socket.destroy(new Error(`the certificate of ${servername} is for ${name}`))
      else if (path === undefined) finish()
      else socket.write(`GET ${path} HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`)
    })
    const finish = (): void => {
      socket.destroy()
      done()
    }
    let answer = ''
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text
    })
    socket.on('end', () => {
      if (answer.startsWith('HTTP/1.1 200 ')) finish()
      else socket.destroy(new Error(`${servername} answered ${answer.slice(0, 100)}`))
    })
    socket.setTimeout(VISIT_DEADLINE_MS, () => socket.destroy(new Error(`${servername} is silent`)))
    socket.on('error', failed)
  })
}

/** Visits, or only shakes hands with, one site after the other, `HANDS` at a time. */
async function shakeAll(port: number, sites: number, times: number, path?: string): Promise<void> {
  let next = 0
  const hand = async (): Promise<void> => {
    while (next < times) await shake(port, (next++ % sites) + 1, path)
  }
  await Promise.all(Array.from({ length: HANDS }, hand))
}

/** One start of one contender, and all that is measured of it. */
async function measure(contender: TlsContender, port: number, sites: number): Promise<Figures> {
  showProgress(`${contender.name}, ${sites} sites`)
  const startedAt = performance.now()
  await using child: Child = await contender.start()
  const there = () =>
    shake(port, sites).then(
      () => true,
      () => undefined,
    )
  await until(`${contender.name} to shake hands`, child, START_DEADLINE_MS, there)
  const startMs = performance.now() - startedAt
  const startCpuUs = cpuUs([child.pid])
  await new Promise((resume) => setTimeout(resume, SETTLE_MS))
  const idleBytes = pssBytes([child.pid])
  await shakeAll(port, sites, sites, '/')
  const visitedBytes = pssBytes([child.pid])
  const before = cpuUs([child.pid])
  await shakeAll(port, sites, handshakes)
  const handshakeUs = (cpuUs([child.pid]) - before) / handshakes
  return { contender: contender.name, startMs, startCpuUs, idleBytes, visitedBytes, handshakeUs }
}

/** Measures all of them in turns. @param command the vhostel that is measured @returns a row for each */
async function compare(sites: TlsSites, command: string): Promise<string[][]> {
  const found = new Map<string, Figures[]>()
  for (let round = 0; round < rounds; round++) {
    await quietMoment()
    for (const make of [() => useVhostel(sites, command), () => useNginx(sites), () => useCaddy(sites)]) {
      const figures = await make()
      found.set(figures.contender, [...(found.get(figures.contender) ?? []), figures])
    }
  }
  showProgress('')
  return [...found].map(([name, all]) => rowOf(name, all))
}

async function useVhostel(sites: TlsSites, command: string): Promise<Figures> {
  const folder = new SiteFolder()
  using stack = new DisposableStack()
  stack.defer(() => folder.remove())
  const port = await freePort()
  return await measure(vhostelTls(folder, port, sites, command), port, sites.count)
}

function useNginx(sites: TlsSites): Promise<Figures> {
  return inFolder('nginx', (folder, port) => measure(nginxTls(folder, port, sites), port, sites.count))
}

function useCaddy(sites: TlsSites): Promise<Figures> {
  return inFolder('caddy', (folder, port) => measure(caddyTls(folder, port, sites), port, sites.count))
}

async function inFolder(what: string, use: (folder: string, port: number) => Promise<Figures>): Promise<Figures> {
  const folder = temporaryFolder(what)
  using stack = new DisposableStack()
  stack.defer(() => removeFolder(folder))
  return await use(folder, await freePort())
}

function rowOf(name: string, all: readonly Figures[]): string[] {
  const middle = (of: (one: Figures) => number) => median(all.map(of))
  const cost = middle((one) => one.handshakeUs)
  return [
    name,
    `${whole(middle((one) => one.startMs))} ms`,
    `${whole(middle((one) => one.startCpuUs) / 1000)} ms`,
    megabytes(middle((one) => one.idleBytes)),
    megabytes(middle((one) => one.visitedBytes)),
    `${whole(cost)} µs`,
    whole(1_000_000 / cost),
  ]
}

async function main(): Promise<void> {
  const missing = missingTools({ openssl: 'openssl', nginx: 'nginx-light', caddy: 'caddy' })
  if (missing !== undefined) {
    console.error(missing)
    process.exitCode = 1
    return
  }
  using built = await buildVhostel()
  const folder = temporaryFolder('certificates')
  const most = Math.max(...counts)
  const shared = { certificates: makeCertificates(folder, most), root: makeRoot(folder) }
  console.log(describeMachine(thisMachine()))
  for (const count of counts) {
    const rows = await compare({ count, ...shared }, built.command)
    console.log(`\n${whole(count)} sites with a certificate each, medians of ${rounds}:\n`)
    printTable(['', 'start', 'its CPU', 'memory', 'all visited', 'CPU of a handshake', 'a second and core'], rows)
  }
}

await main()
