/**
 * What TLS and HTTP/2 cost: requests/s over TLS with keep-alive beside the same in clear text, and the server's processor time of each.
 * Handshakes, and many sites with a certificate each, are in tls-sites.ts.
 *
 * `node bench/tls.ts [--quick]`. Needs openssl and h2load.
 *
 * Limits: the client shares the machine, and encrypts as well; processor time is of all processes of the server alone.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildVhostel } from './built.ts'
import { missingTools } from './machine.ts'
import { cpuUs } from './process-tree.ts'
import { median, printTable, verdict, whole } from './table.ts'
import { makeCertificates } from './tls-certificates.ts'
import type { SiteFolder, Vhostel } from './vhostel.ts'
import { startVhostel } from './vhostel.ts'

/** The same bytes as the other benches send. */
const CODE = `export default (request, response) => response.end('{"hello":"world"}\\n')\n`
const PAGE = 'x'.repeat(1024)
/** Of the requests/s in clear text. */
const WANTED = 0.8
const CLIENTS = 32
/** A module, and files. */
const SITES = 2

const quick = process.argv.includes('--quick')
const requests = quick ? 10_000 : 60_000
const rounds = quick ? 3 : 5

/** Makes a site with a certificate of its own. */
function writeSite(folder: SiteFolder, site: number): void {
  if (site === 1) {
    makeCertificates(folder.path, SITES)
    writeFileSync(join(folder.path, 'vhostel.ini'), '[server]\nlisten = 127.0.0.1:0\nlisten_tls = 127.0.0.1:0\n')
  }
  const root = folder.writeModule(site, 'site.mjs', CODE)
  writeFileSync(join(root, 'page.txt'), PAGE)
  const kind = site === 2 ? 'kind = static' : 'module = site.mjs'
  folder.writeIni(site, `${kind}\ncertificate = ../site${site}.test.pem\nkey = ../key.pem`)
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

interface Cost {
  /** µs of processor time for a request. */
  cpu: number
  perSecond: number
}

function load(server: Vhostel, args: readonly string[]): Cost {
  const before = cpuUs([server.pid])
  const text = execFileSync('h2load', ['-n', String(requests), ...args], { encoding: 'utf8' })
  if (!text.includes(`${requests} succeeded`)) throw new Error(text)
  const cpu = (cpuUs([server.pid]) - before) / requests
  return { cpu, perSecond: Number(/([\d.]+) req\/s/.exec(text)?.[1]) }
}

async function costOfRequests(): Promise<void> {
  using built = await buildVhostel()
  await using server = await startVhostel({ command: built.command, sites: SITES, writeSite })
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
    const found = new Map<string, Cost[]>()
    // The first round warms up, and is not counted.
    for (let round = 0; round <= rounds; round++) {
      for (const [name, args] of ways(host, path)) {
        const cost = load(server, args)
        if (round > 0) found.set(name, [...(found.get(name) ?? []), cost])
      }
    }
    const figures = [...found].map(([name, costs]) => ({ name, ...medians(costs) }))
    const [clear, secure] = figures as unknown as [Cost, Cost]
    console.log(`\nRequests for ${what}, keep-alive, ${CLIENTS} at a time:\n`)
    const rows = figures.map(({ name, cpu, perSecond }) => [
      name,
      whole(perSecond),
      (perSecond / clear.perSecond).toFixed(2),
      `${cpu.toFixed(1)} µs`,
      (clear.cpu / cpu).toFixed(2),
    ])
    printTable(['', 'requests/s', 'of clear text', 'CPU of each', 'of clear text'], rows)
    if (host !== 'site1.test') continue
    console.log(`\nTLS / clear text, requests/s: ${verdict(secure.perSecond / clear.perSecond, { least: WANTED })}`)
    console.log(
      `TLS / clear text, requests for a processor second: ${verdict(clear.cpu / secure.cpu, { least: WANTED })}`,
    )
  }
}

function medians(costs: readonly Cost[]): Cost {
  return { cpu: median(costs.map(({ cpu }) => cpu)), perSecond: median(costs.map(({ perSecond }) => perSecond)) }
}

const missing = missingTools({ openssl: 'openssl', h2load: 'nghttp2-client' })
if (missing === undefined) await costOfRequests()
else {
  console.error(missing)
  process.exitCode = 1
}
