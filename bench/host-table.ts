/**
 * What a lookup in the host table costs with 10 to 10,000 sites. Run: `node bench/host-table.ts`
 *
 * Every site has one exact name, one `*.suffix` and one `prefix.*`. Hosts are fresh strings, as they are in requests, so
 * their hash is computed in each lookup; the cost of going through them is measured alone and taken off. The figure is
 * the median of rounds in shuffled order; on a busy machine it moves by some ±20 %, the ratio says more than the figure.
 *
 * Two tables: in the first, requests go to ten of the sites in turn, which shows the cost of the algorithm; in the
 * second, to all of them at random, which adds what the processor waits for memory that no cache holds any more.
 */
import { cpus } from 'node:os'
import { normaliseHost, parseDomain } from '../src/config/domains.ts'
import type { HostClaim, HostTable } from '../src/dispatcher/host-table.ts'
import { buildHostTable } from '../src/dispatcher/host-table.ts'

const SITES = [10, 100, 1_000, 10_000]
const ROUNDS = 21
/** Requests in one round. */
const HOSTS = 20_000
/** How many of the sites are asked for in the first table. */
const FEW = 10

type Shape = (site: number) => string

const SHAPES: Record<string, Shape> = {
  exact: (site) => `www.site${site}.example.com`,
  wildcard: (site) => `shop.site${site}.example.org`,
  prefix: (site) => `site${site}.example.net`,
  miss: (site) => `www.other${site}.example.edu`,
}

function claim(site: number): HostClaim<number> {
  const domains = [`www.site${site}.example.com`, `*.site${site}.example.org`, `site${site}.*`]
  const patterns = domains.flatMap((domain) => {
    const parsed = parseDomain(domain)
    if ('problem' in parsed) throw new Error(parsed.problem)
    return parsed.patterns
  })
  return { name: `site${site}`, site, patterns }
}

/** Which of the sites each request asks for: `visited` of them, spread over all, without a pattern but alike in all runs. */
function siteOrder(sites: number, visited: number): number[] {
  let state = 1
  return Array.from({ length: HOSTS }, () => {
    state = (state * 48_271) % 2_147_483_647
    return Math.floor(((state % visited) * sites) / visited)
  })
}

let sink = 0

/** Time of one call of `work`, in ns, over all hosts of a round. */
function nsPerHost(order: number[], shape: Shape, work: (host: string) => number): number {
  // A Buffer's text is a flat string without a hash, as the HTTP parser makes them.
  const hosts = order.map((site) => Buffer.from(shape(site)).toString('latin1'))
  const startedAt = process.hrtime.bigint()
  for (const host of hosts) sink += work(host)
  return Number(process.hrtime.bigint() - startedAt) / hosts.length
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? 0
}

interface Case {
  sites: number
  shape: Shape
  order: number[]
  table: HostTable<number>
  lookups: number[]
}

function measure(visited: (sites: number) => number): Map<string, Case[]> {
  const tables = SITES.map((sites) => ({
    sites,
    order: siteOrder(sites, visited(sites)),
    table: buildHostTable(Array.from({ length: sites }, (_, site) => claim(site))),
  }))
  const rows = new Map(
    Object.entries(SHAPES).map(([name, shape]) => [
      name,
      tables.map((table): Case => ({ ...table, shape, lookups: [] })),
    ]),
  )
  const cases = [...rows.values()].flat()
  for (let round = -3; round < ROUNDS; round++) {
    for (const each of cases.toSorted(() => Math.random() - 0.5)) {
      const empty = nsPerHost(each.order, each.shape, (host) => host.length)
      const full = nsPerHost(each.order, each.shape, (host) => each.table.lookup(host)?.site ?? 0)
      if (round >= 0) each.lookups.push(full - empty) // rounds below 0 warm up
    }
  }
  return rows
}

function printTable(rows: Map<string, Case[]>): void {
  console.log(`| host is | ${SITES.map((sites) => `${sites.toLocaleString('en')} sites`).join(' | ')} |`)
  console.log(`|---|${SITES.map(() => '---:|').join('')}`)
  for (const [name, cases] of rows) {
    const times = cases.map((each) => median(each.lookups))
    const cells = times.map((ns) => `${ns.toFixed(0)} ns (× ${(ns / (times[0] ?? 1)).toFixed(2)})`)
    console.log(`| ${name} | ${cells.join(' | ')} |`)
  }
}

const cores = cpus()
console.log(
  `${cores.length} × ${cores[0]?.model ?? 'unknown processor'}, ${process.platform}, Node ${process.version}\n`,
)
console.log(`requests for ${FEW} of the sites:\n`)
printTable(measure(() => FEW))
console.log('\nrequests for all sites at random:\n')
printTable(measure((sites) => sites))
const order = siteOrder(1_000, 1_000)
const spelled = Array.from({ length: ROUNDS }, () =>
  nsPerHost(
    order,
    (site) => `www.site${site}.example.com`,
    (host) => normaliseHost(host)?.length ?? 0,
  ),
)
const withPort = Array.from({ length: ROUNDS }, () =>
  nsPerHost(
    order,
    (site) => `WWW.site${site}.example.com:8080`,
    (host) => normaliseHost(host)?.length ?? 0,
  ),
)
console.log(
  `\nnormaliseHost: ${median(spelled).toFixed(0)} ns for a plain name, ${median(withPort).toFixed(0)} ns with capitals and a port`,
)
process.exitCode = Number.isNaN(sink) ? 1 : 0
