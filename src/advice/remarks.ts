/**
 * What stands out, in words: which site, by which figure, and what may be done about it. Pure; each rule is a function of
 * its own and says when it speaks.
 *
 * Invariant: a remark names the figures that it comes from; a site with fewer than `FEW` requests is remarked on only for
 * what was refused.
 */
import type { AdviceReport, PoolAdvice, SiteAdvice } from './report.ts'
import { amount, memory, percent, span } from './words.ts'

type Facts = Pick<AdviceReport, 'source' | 'cores' | 'options' | 'pools' | 'sites'>
type Rule = (site: SiteAdvice, pool: PoolAdvice, facts: Facts) => string | undefined

/** Fewer requests than these say nothing. */
const FEW = 20
/** Fewer requests than these, or a smaller part of them, that had to wait for a load are what a start costs. */
const MANY_COLD = 3
const COLD_SHARE = 0.05
/** Most remarks; those of the busiest sites come first. */
const MAX_REMARKS = 20

function isAlone(site: SiteAdvice, sites: readonly SiteAdvice[]): boolean {
  return sites.every((other) => other === site || other.pool !== site.pool)
}

/** A large part of the pool's time, next to none of it on a processor. */
const waits: Rule = (site, pool, { options, sites }) => {
  if (site.ownCpuShare === undefined || site.busyShare < 0.3 || site.ownCpuShare >= 0.2) return undefined
  const begin = `${percent(site.busyShare)} of the pool's busy time but ${percent(site.ownCpuShare)} of that on a processor: it waits on something`
  const places = pool.serviceMs / Math.max(1, pool.threadMs * pool.concurrency)
  const isTight = places >= 0.25 || (pool.waits?.quantileMs ?? 0) > options.maxWaitMs
  const own = isAlone(site, sites) || site.maxThreads !== undefined ? '' : ` or give it \`[pool ${site.site}]\``
  return isTight
    ? `${begin}; raise \`concurrency\`${own}`
    : `${begin}; that harms nobody while only ${percent(places)} of the pool's places are taken`
}

/** Keeps an event loop for long, measured as such, or because it computes all the time that it is there. */
const blocks: Rule = (site, _pool, { options, sites }) => {
  const longMs = Math.max(50, options.maxWaitMs)
  const cure = isAlone(site, sites)
    ? 'it is alone in its pool, so no other site waits for that'
    : '`isolation = process`'
  if (site.blockP99Ms !== undefined && site.blockP99Ms >= longMs)
    return `blocks its thread for ${span(site.blockP99Ms)} at p99; ${cure}`
  const computes = site.ownCpuShare !== undefined && site.ownCpuShare >= 0.8
  if (!computes || site.service.p99Ms < longMs) return undefined
  return `computes for ${span(site.service.p99Ms)} at p99, and its thread does nothing else meanwhile; ${cure}`
}

/** Few requests that take most of the processor time. */
const computes: Rule = (site, pool, { cores, sites }) => {
  const others = sites.filter((each) => each.pool === pool.pool)
  const requests = site.requests / Math.max(1, pool.requests)
  if (site.cpuShare === undefined || others.length < 2) return undefined
  if (site.cpuShare < 0.5 || site.cpuShare < 2 * requests || (pool.meanCores ?? 0) < 0.3 * cores) return undefined
  return `${percent(site.cpuShare)} of the pool's processor time with ${percent(requests)} of its requests; give it \`[pool ${site.site}]\`, so that the others do not queue behind it`
}

/** Many find it loaded nowhere, and wait until it is. */
const loads: Rule = ({ cold, requests, preload }, _pool, { options }) => {
  if (preload || cold.requests < MANY_COLD || cold.requests < COLD_SHARE * requests) return undefined
  if (cold.longestMs <= options.maxWaitMs) return undefined
  return `${amount(cold.requests)} of ${amount(requests)} requests came while it was not loaded, and waited for that, ${span(cold.longestMs)} at most; \`preload = yes\` keeps it loaded`
}

const queues: Rule = (site, pool, { options }) => {
  if (site.waitP99Ms <= options.maxWaitMs) return undefined
  const all = pool.waits?.quantileMs ?? 0
  const whole = `the pool as a whole ${span(all)}`
  if (site.maxThreads !== undefined && (site.waitP99Ms > 2 * all || pool.limited.includes(site.site)))
    return `waited ${span(site.waitP99Ms)} for a thread at p99, ${whole}: more threads in the pool would not help it, it has \`max_threads = ${site.maxThreads}\``
  if ((site.blockP99Ms ?? 0) > options.maxWaitMs)
    return `waited ${span(site.waitP99Ms)} for a thread at p99, ${whole}: behind its own requests, which block the thread`
  return site.waitP99Ms > 2 * all
    ? `waited ${span(site.waitP99Ms)} for a thread at p99, ${whole}: it is this site that has too few`
    : `waited ${span(site.waitP99Ms)} for a thread at p99, ${whole}: see what the pool would need`
}

/** In a log: where the time is, as far as that is known. */
const slow: Rule = (site, pool, { source }) => {
  const requests = site.requests / Math.max(1, pool.requests)
  if (source !== 'log' || site.busyShare < 0.2 || site.busyShare < 2 * requests) return undefined
  return (
    `${percent(site.busyShare)} of all time with ${percent(requests)} of the requests (p99 ${span(site.service.p99Ms)}): ` +
    'harmless if it waits on something, else a case for `isolation = process`'
  )
}

const large: Rule = (site, _pool, { sites }) => {
  const known = sites.reduce((sum, { memoryBytes }) => sum + (memoryBytes ?? 0), 0)
  if (site.memoryBytes === undefined || site.memoryBytes < 100 * 1024 ** 2) return undefined
  const others = sites.filter(({ memoryBytes }) => memoryBytes !== undefined).length - 1
  if (others > 0 && site.memoryBytes < 0.3 * known) return undefined
  return `takes ${memory(site.memoryBytes)} of memory`
}

const refused: Rule = (site) =>
  site.refused === 0
    ? undefined
    : `${amount(site.refused)} of ${amount(site.refused + site.requests)} requests found no thread in time`

const RULES: readonly Rule[] = [waits, blocks, computes, queues, loads, slow, large]

/** One line each, `site: …`, busiest sites first. */
export function remarksOn(facts: Facts): string[] {
  const remarks: string[] = []
  const pools = new Map(facts.pools.map((pool) => [pool.pool, pool]))
  for (const site of facts.sites) {
    const pool = pools.get(site.pool)
    if (pool === undefined) continue
    const isTwice = facts.sites.some((other) => other !== site && other.site === site.site)
    const name = isTwice ? `${site.site} (${site.pool})` : site.site
    for (const rule of site.requests < FEW ? [refused] : [...RULES, refused]) {
      const remark = rule(site, pool, facts)
      if (remark !== undefined) remarks.push(`${name}: ${remark}`)
    }
  }
  if (remarks.length <= MAX_REMARKS) return remarks
  return [
    ...remarks.slice(0, MAX_REMARKS),
    `… and ${amount(remarks.length - MAX_REMARKS)} more; --json has all figures`,
  ]
}
