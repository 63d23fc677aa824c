/**
 * What TLS and HTTP/2 cost: processor time of the server for each request over TLS with keep-alive beside the same in clear text,
 * and many sites with a certificate each: start, memory, handshakes.
 *
 * `node bench/tls.ts [--quick]`. Needs openssl, and h2load (apt-get install nghttp2-client).
 *
 * Limits: ratios are of processor time of all processes of the server, which a busy machine changes less than time itself.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { connect } from 'node:tls'
import { cpuUs, pssBytes } from './process-tree.ts'
import { median, megabytes, printTable, verdict, whole } from './table.ts'
import type { SiteFolder, Vhostel } from './vhostel.ts'
import { makeSites, startVhostel } from './vhostel.ts'

const COMMAND = resolve(import.meta.dirname, '../bin/vhostel.js')
/** The same bytes as the other benches send. */
const CODE = `export default (request, response) => response.end('{"hello":"world"}\\n')\n`
const PAGE = 'x'.repeat(1024)
/** Of clear text, the requests for a processor second that TLS has to reach. */
const WANTED = 0.8
const CLIENTS = 32
/** Handshakes at a time. */
const HANDS = 8
/** After the start, before memory is taken. */
const SETTLE_MS = 3_000

const quick = process.argv.includes('--quick')
const requests = quick ? 5_000 : 20_000
const rounds = quick ? 3 : 5
const most = quick ? 200 : 1_000
const handshakes = quick ? 500 : 2_000

/** Makes a site with a certificate of its own; the key is the same for all, since making keys is not measured. */
function writeSite(folder: SiteFolder, site: number): void {
  const key = join(folder.path, 'key.pem')
  if (site === 1) {
    execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key])
    writeFileSync(join(folder.path, 'vhostel.ini'), '[server]\nlisten = 127.0.0.1:0\nlisten_tls = 127.0.0.1:0\n')
  }
  const name = `site${site}.test`
  const cert = join(folder.path, `${name}.pem`)
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
  execFileSync('openssl', ['req', '-x509', '-key', key, '-out', cert, ...subject])
  const root = folder.writeModule(site, 'site.mjs', CODE)
  writeFileSync(join(root, 'page.txt'), PAGE)
  const kind = site === 2 ? 'kind = static' : 'module = site.mjs'
  folder.writeIni(site, `${kind}\ncertificate = ../${name}.pem\nkey = ../key.pem`)
}

interface Ports {
  plain: number
  secure: number
}

async function portsOf(server: Vhostel): Promise<Ports> {
  const { listen } = await server.status()
  const port = (scheme: string) => Number(new URL(listen.find((one) => one.startsWith(scheme)) ?? 'http://x:0').port)
  return { plain: port('http:'), secure: port('https:') }
}

/** µs of processor time for a request. */
function load(server: Vhostel, args: readonly string[]): number {
  const before = cpuUs([server.pid])
  const text = execFileSync('h2load', ['-n', String(requests), ...args], { encoding: 'utf8' })
  if (!text.includes(`${requests} succeeded`)) throw new Error(text)
  return (cpuUs([server.pid]) - before) / requests
}

async function costOfRequests(): Promise<void> {
  await using server = await startVhostel({ command: COMMAND, sites: 2, writeSite })
  const { plain, secure } = await portsOf(server)
  const h1 = ['--h1', '-c', String(CLIENTS)]
  const h2 = ['-c', '4', '-m', String(CLIENTS / 4)]
  const ways = (host: string, path: string): [string, string[]][] => [
    ['HTTP/1.1, clear text', [...h1, `--connect-to=127.0.0.1:${plain}`, `http://${host}:${plain}${path}`]],
    ['HTTP/1.1, TLS', [...h1, `--connect-to=127.0.0.1:${secure}`, `https://${host}:${secure}${path}`]],
    ['HTTP/2, TLS', [...h2, `--connect-to=127.0.0.1:${secure}`, `https://${host}:${secure}${path}`]],
  ]
  for (const [what, host, path] of [
    ['a module', 'site1.test', '/'],
    ['a file of 1 KB', 'site2.test', '/page.txt'],
  ] as const) {
    const found = new Map<string, number[]>()
    // The first round warms up, and is not counted.
    for (let round = 0; round <= rounds; round++) {
      for (const [name, args] of ways(host, path)) {
        const cost = load(server, args)
        if (round > 0) found.set(name, [...(found.get(name) ?? []), cost])
      }
    }
    const clear = median(found.get('HTTP/1.1, clear text') ?? [])
    console.log(`\nProcessor time of ${what}, keep-alive, ${CLIENTS} requests at a time:\n`)
    const rows = [...found].map(([name, costs]) => [
      name,
      `${whole(median(costs))} µs`,
      (clear / median(costs)).toFixed(2),
    ])
    printTable(['', 'a request', 'of clear text'], rows)
    const ratio = clear / median(found.get('HTTP/1.1, TLS') ?? [])
    if (host === 'site1.test') console.log(`\nTLS / clear text: ${verdict(ratio, { least: WANTED })}`)
  }
}

/** One handshake without a session to take up. */
function shake(port: number, servername: string): Promise<void> {
  return new Promise((done, failed) => {
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }, () => {
      socket.destroy()
      done()
    })
    socket.on('error', failed)
  })
}

/** @returns µs of processor time for a handshake */
async function costOfHandshakes(server: Vhostel, port: number, sites: number): Promise<number> {
  const before = cpuUs([server.pid])
  let next = 0
  const hand = async (): Promise<void> => {
    while (next < handshakes) await shake(port, `site${(next++ % sites) + 1}.test`)
  }
  await Promise.all(Array.from({ length: HANDS }, hand))
  return (cpuUs([server.pid]) - before) / handshakes
}

async function costOfSites(sites: number): Promise<string[]> {
  const folder = makeSites({ sites, writeSite })
  const startedAt = performance.now()
  await using server = await startVhostel({ command: COMMAND, sites }, folder)
  const startMs = performance.now() - startedAt
  const { secure } = await portsOf(server)
  await new Promise((resume) => setTimeout(resume, SETTLE_MS))
  const idle = pssBytes([server.pid])
  const first = await costOfHandshakes(server, secure, sites)
  const again = await costOfHandshakes(server, secure, sites)
  const used = pssBytes([server.pid])
  const rate = `${whole(1_000_000 / again)}/s`
  return [
    whole(sites),
    `${whole(startMs)} ms`,
    megabytes(idle),
    megabytes(used),
    `${whole(first)} µs`,
    `${whole(again)} µs`,
    rate,
  ]
}

await costOfRequests()
const rows = [await costOfSites(10), await costOfSites(most)]
console.log('\nSites with a certificate each (ECDSA P-256):\n')
printTable(['sites', 'start', 'memory', 'all shaken', 'first handshakes', 'later ones', 'of one core'], rows)
