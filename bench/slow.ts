/**
 * What clients that do nothing, or next to nothing, cost everybody else: `node bench/slow.ts [quick]`. The time of normal visitors
 * to their answer, without others, beside 5,000 idle keep-alive connections, and beside 1,000 clients each that are slow with the
 * head, with the body, and with reading (slowhttptest, a Debian package), one kind after the other and the last two at once; and the
 * memory of an idle connection.
 *
 * The slow clients work on the same machine, so each round is repeated with them at another server (bare node:http), which the visitors
 * do not ask: what these wait longer then is the clients' own doing. Slow readers ask for 1 MB each, three times,
 * most of which the kernel takes: while that is made and sent, the site is busy, with or without slow clients. So visitors are counted
 * once nothing waits for a thread any more; how long that took is told.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild, until } from './children.ts'
import { pssBytes } from './process-tree.ts'
import { printTable } from './table.ts'
import type { Vhostel } from './vhostel.ts'
import { makeSites, startVhostel } from './vhostel.ts'

const isQuick = process.argv.includes('quick')
const IDLE = isQuick ? 1_000 : 5_000
const SLOW = isQuick ? 200 : 1_000
const ROUND_MS = isQuick ? 3_000 : 10_000
/** Connections of normal visitors, and the pause of each between an answer and its next request. */
const VISITORS = 10
const PAUSE_MS = 5
const AT_ONCE = 200
/** Until the slow clients are all there, and at the most until no request of theirs waits for a thread. */
const SETTLE_MS = isQuick ? 2_000 : 5_000
const SETTLED_MS = 60_000
const START_MS = 10_000

const KINDS = {
  'slow heads': ['-H', '-i', '10'],
  'slow bodies': ['-B', '-i', '10', '-s', '65536'],
  'slow reading': ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'],
} as const

const LARGE_AND_SMALL = `const large = Buffer.alloc(1_000_000, 'x')
export default (request, response) => {
  if (request.url === '/large') return response.end(large)
  if (request.method !== 'POST') return response.end('hello')
  request.resume().on('end', () => response.end('thanks'))
}`

/** Says its port on stdout. */
const ELSEWHERE = `import { createServer } from 'node:http'
import handler from './handler.mjs'
const server = createServer(handler)
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => console.log(server.address().port))`

/** Milliseconds to the whole answer, sorted. */
async function visit(port: number): Promise<number[]> {
  const times: number[] = []
  const end = performance.now() + ROUND_MS
  const visitor = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (performance.now() < end) {
      const began = performance.now()
      await ask(port, agent)
      times.push(performance.now() - began)
      await delay(PAUSE_MS)
    }
    agent.destroy()
  }
  await Promise.all(Array.from({ length: VISITORS }, visitor))
  return times.sort((a, b) => a - b)
}

function ask(port: number, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = get({ host: '127.0.0.1', port, agent, headers: { host: 'site1.test' } }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`))
      answer.resume().on('end', resolve).on('error', reject)
    })
    asked.on('error', reject)
  })
}

/** Connections that had one answer and wait. */
async function idleConnections(port: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  while (sockets.length < IDLE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, IDLE - sockets.length) }, async () => {
      const socket = connect(port, '127.0.0.1')
      socket.write('GET / HTTP/1.1\r\nHost: site1.test\r\n\r\n')
      await once(socket, 'data')
      return socket
    })
    sockets.push(...(await Promise.all(batch)))
  }
  return sockets
}

type Kind = keyof typeof KINDS

/** What is tried, one after the other. */
const ROUNDS: readonly Kind[][] = [...Object.keys(KINDS).map((kind) => [kind as Kind]), ['slow bodies', 'slow reading']]

/** Runs something while slow clients of each kind are there. */
async function beside<T>(port: number, [kind, ...others]: readonly Kind[], work: () => Promise<T>): Promise<T> {
  if (kind === undefined) return work()
  const url = `http://127.0.0.1:${port}${kind === 'slow reading' ? '/large' : '/'}`
  const seconds = Math.ceil((SETTLED_MS + ROUND_MS) / 1000) + 5
  const args = [
    ...KINDS[kind],
    '-c',
    String(SLOW),
    '-r',
    String(SLOW / 4),
    '-l',
    String(seconds),
    '-x',
    '10',
    '-p',
    '3',
    '-u',
    url,
  ]
  const child = spawn('slowhttptest', args, { stdio: 'ignore' })
  const gone = once(child, 'exit')
  try {
    return await beside(port, others, work)
  } finally {
    child.kill('SIGTERM')
    await gone
  }
}

/** @param requests that have to be there @returns how long it took until for a second none waited for a thread, in ms */
async function settled(vhostel: Vhostel, requests: number): Promise<number> {
  const began = performance.now()
  await delay(SETTLE_MS)
  let calmSince = performance.now()
  while (performance.now() - calmSince < 1_000 && performance.now() - began < SETTLED_MS) {
    const [site] = (await vhostel.status()).sites
    if (site === undefined || site.waiting > 0 || site.requests < requests) calmSince = performance.now()
    await delay(100)
  }
  return performance.now() - began
}

function at(times: readonly number[], part: number): number {
  return times[Math.floor(times.length * part)] ?? 0
}

/** @param elsewhere times with the same clients at another server, @param bytes of memory that the dispatcher has */
function row(
  what: string,
  times: readonly number[],
  elsewhere: readonly number[] | undefined,
  bytes: number,
): string[] {
  const ratios = [without, elsewhere].map((others) =>
    others === undefined ? Number.NaN : at(times, 0.99) / at(others, 0.99),
  )
  const figures = [at(times, 0.5), at(times, 0.99), times.at(-1) ?? 0, ...ratios]
  const told = figures.map((value) => (Number.isNaN(value) ? '' : value.toFixed(2)))
  return [what, String(times.length), ...told, (bytes / 1024 / 1024).toFixed(0)]
}

const folder = makeSites({
  sites: 1,
  writeSite: (into, site) => {
    into.writeModule(site, 'app.mjs', LARGE_AND_SMALL)
    into.writeIni(site, 'module = app.mjs\ntype = handler')
  },
})
const server = 'listen = 127.0.0.1:0\nmax_connections_per_address = 0\ndefault_site = site1'
writeFileSync(join(folder.path, 'vhostel.ini'), `[server]\n${server}\n`)
const command = join(import.meta.dirname, '../bin/vhostel.js')
await using vhostel = await startVhostel({ sites: 1, command }, folder)
const { port, pid } = vhostel

writeFileSync(join(folder.path, 'handler.mjs'), LARGE_AND_SMALL)
writeFileSync(join(folder.path, 'elsewhere.mjs'), ELSEWHERE)
await using other = await startChild(process.execPath, [join(folder.path, 'elsewhere.mjs')])
const otherPort = await until(
  'its port',
  other,
  START_MS,
  () => Number(/^(\d+)\n/.exec(other.output)?.[1]) || undefined,
)

await visit(port)
const rows: string[][] = []
let without = await visit(port)
const before = pssBytes([pid])
rows.push(row('nobody else', without, undefined, before))
const idle = await idleConnections(port)
await delay(3_000)
const perConnection = (pssBytes([pid]) - before) / idle.length
rows.push(row(`${IDLE} idle connections`, await visit(port), undefined, pssBytes([pid])))
for (const kinds of ROUNDS) {
  const requests = (await vhostel.status()).sites[0]?.requests ?? 0
  const more = kinds.filter((kind) => kind !== 'slow heads').length * SLOW
  const elsewhere = await beside(otherPort, kinds, async () => {
    await delay(SETTLE_MS + 1_000)
    return visit(port)
  })
  await beside(port, kinds, async () => {
    const tookMs = await settled(vhostel, requests + more)
    const what = `${IDLE} idle, ${SLOW} each with ${kinds.join(', ')} (after ${(tookMs / 1000).toFixed(0)} s)`
    rows.push(row(what, await visit(port), elsewhere, pssBytes([pid])))
  })
}
for (const socket of idle) socket.destroy()
without = await visit(port)
rows.push(row('nobody else, again', without, undefined, pssBytes([pid])))

const columns = [
  'beside',
  'requests',
  'median ms',
  'p99 ms',
  'longest ms',
  'p99 to that without',
  'to that with them elsewhere',
  'dispatcher MB',
]
printTable(columns, rows)
console.log(`\nmemory of an idle connection in the dispatcher: ${(perConnection / 1024).toFixed(1)} KB (PSS)`)
