/**
 * The report of `vhostel advise` as a person reads it: each conclusion with the figures that it comes from.
 */
import type { AdviceReport, MemoryAdvice, PoolAdvice, Shape, SiteAdvice, Trial, WaitFigures } from '../advice/report.ts'
import { threadsOf } from '../advice/site-advice.ts'
import { amount, counted, memory, percent, span } from '../advice/words.ts'
import { dateAndMinute } from './moments.ts'
import type { Cell } from './output.ts'
import { columns, paint } from './output.ts'

/** Sites in the table; the others are only counted. */
const MAX_SITES = 30
/** Requests of which one in a hundred is not yet a figure. */
const FEW = 1000
/** Names in one line. */
const MAX_LIMITED = 5
/** Columns of the table of busy threads. */
const MAX_BUSY_SHOWN = 9

/** @returns its lines */
export function adviceLines(report: AdviceReport): string[] {
  const requests = report.pools.reduce((sum, pool) => sum + pool.requests, 0)
  const passedMs = report.toMs - report.fromMs
  const head = `${dateAndMinute(report.fromMs)} to ${dateAndMinute(report.toMs)} (${span(passedMs)}): ${counted(requests, 'request')}, ${amount((1000 * requests) / passedMs)}/s`
  if (requests === 0) {
    const nothing = 'Nothing to go by yet: no request came to its end.'
    return [head, nothing, ...(report.remarks.length === 0 ? [] : ['', ...remarkLines(report.remarks)])]
  }
  return [
    head,
    ...report.pools.filter((pool) => pool.requests > 0).flatMap((pool) => ['', ...poolLines(pool, report)]),
    ...(report.memory === undefined ? [] : ['', ...memoryLines(report.memory, report.pools)]),
    '',
    ...capacityLines(report),
    '',
    ...remarkLines(report.remarks),
  ]
}

// ---- pools -----------------------------------------------------------------------------------------------------

function poolLines(pool: PoolAdvice, report: AdviceReport): string[] {
  const title = pool.shape === undefined ? 'As one pool' : `Pool ${pool.pool}: ${shapeText(pool.shape)}`
  const lines = [...utilisationLines(pool, report), ...waitLines(pool, report), ...sizeLines(pool, report)]
  return [paint('bold', title), ...busyTable(pool), ...lines].map((line, index) => (index === 0 ? line : `  ${line}`))
}

function shapeText({ processes, threadsPerProcess, threads }: Shape): string {
  const product = processes * threadsPerProcess
  const sizes = `${counted(processes, 'process', 'processes')} × ${counted(threadsPerProcess, 'thread')}`
  return product === threads ? sizes : `${counted(threads, 'thread')} in ${counted(processes, 'process', 'processes')}`
}

/** Share of time, and of requests, by how many threads were busy. */
function busyTable(pool: PoolAdvice): string[] {
  // What would be printed as 0 % is not shown at the end.
  const end = pool.busy.findLastIndex(({ time, requests }) => Math.max(time, requests) >= 0.0005) + 1
  const shown = pool.busy.slice(0, Math.min(end, MAX_BUSY_SHOWN))
  const rest = pool.busy.slice(shown.length, end)
  const row = (title: string, of: 'time' | 'requests'): Cell[] => [
    { text: title },
    ...shown.map((each) => ({ text: percent(each[of]) })),
    ...(rest.length === 0 ? [] : [{ text: percent(rest.reduce((sum, each) => sum + each[of], 0)) }]),
  ]
  const titles = [
    pool.shape === undefined ? 'requests open at once' : 'threads busy',
    ...shown.map((_, k) => String(k)),
  ]
  if (rest.length > 0) titles.push(`${MAX_BUSY_SHOWN} or more`)
  return columns([
    titles.map((text) => ({ text, style: 'dim' })),
    row('share of the time', 'time'),
    row('share of the requests, as they came', 'requests'),
  ])
}

function utilisationLines(pool: PoolAdvice, { cores, source }: AdviceReport): string[] {
  const { utilisation, meanCores } = pool
  if (utilisation === undefined) {
    const lines = [`mean of requests open at once: ${amount(pool.meanBusy)}`]
    return source === 'log' ? lines : []
  }
  const processors =
    meanCores === undefined
      ? []
      : [`processors: ${amount(meanCores)} of ${cores} in use (${percent(meanCores / cores)})`]
  return [
    `utilisation ${percent(utilisation.share)}: ${utilisationSum(pool, utilisation.of)}; half busy is the aim: ${verdict(utilisation.share)}`,
    ...processors,
  ]
}

function utilisationSum(pool: PoolAdvice, of: 'event loops' | 'places' | 'threads'): string {
  const { threadMs, loopMs = 0, serviceMs, concurrency, meanBusy, shape } = pool
  if (of === 'event loops')
    return `event loops were busy for ${span(loopMs)} of ${span(threadMs)} that threads were there`
  if (of === 'threads') return `${amount(meanBusy)} threads were busy at a time, of ${shape?.threads ?? 1}`
  return `requests filled ${span(serviceMs)} of ${span(threadMs)} × ${concurrency} places`
}

function verdict(share: number): string {
  if (share < 0.25) return 'there is room for more than twice as much'
  if (share <= 0.6) return 'about right'
  return share <= 0.8 ? 'above it, bursts will wait' : 'far above it, requests wait'
}

function waitLines(pool: PoolAdvice, { options }: AdviceReport): string[] {
  const { waits, now } = pool
  const lines = waits === undefined ? [] : [`waited in the queue: ${waitText(waits, options.quantile)}`]
  if (now !== undefined)
    lines.push(`waited until its code ran, by the model of this pool: ${waitText(now.waits, options.quantile)}`)
  return lines
}

function waitText({ medianMs, quantileMs, maxMs, waited }: WaitFigures, quantile: number): string {
  return `median ${span(medianMs)}, ${quantileName(quantile)} ${span(quantileMs)}, longest ${span(maxMs)}; ${percent(waited)} waited`
}

function quantileName(quantile: number): string {
  return `p${Number((quantile * 100).toFixed(2))}`
}

function sizeLines(pool: PoolAdvice, report: AdviceReport): string[] {
  const { smallest, tooFew } = pool
  const { quantile, maxWaitMs } = report.options
  const bound = `${quantileName(quantile)} of the wait below ${span(maxWaitMs)}`
  const basis = [...limitedText(pool), basisText(pool), ...assumed(report, pool)]
  if (smallest === undefined)
    return [`no number of threads would have kept ${bound}: ${limitText(pool, report)}`, ...basis]
  const trials = [smallest, ...(tooFew === undefined ? [] : [tooFew])].map((trial) => trialText(trial, quantile))
  return [
    `${paint('bold', `smallest pool: ${shapeText(smallest.shape)}`)} would have kept ${bound} (${trials.join('; ')})`,
    halfBusyText(pool, report.toMs - report.fromMs),
    ...basis,
  ]
}

/** The sites that wait longer than the bound with any number of threads. */
function limitedText({ limited, smallest }: PoolAdvice): string[] {
  const sites = limited.slice(0, MAX_LIMITED).join(', ') + (limited.length > MAX_LIMITED ? ', …' : '')
  return limited.length === 0 || smallest === undefined
    ? []
    : [`that is without the waits of ${sites}: \`max_threads\` makes them, whatever the number of threads`]
}

/** Threads are never too few where any number is tried: it is the processors, or the sites' own limit. */
function limitText({ meanCores = 0, limited, tooFew }: PoolAdvice, { cores }: AdviceReport): string {
  if (tooFew === undefined && limited.length > 0)
    return `${limited.slice(0, MAX_LIMITED).join(', ')} may not use more, by \`max_threads\``
  return meanCores > 0.7 * cores
    ? `${amount(meanCores)} of ${cores} processors are busy, more threads do not make them faster`
    : 'at times more requests compute than there are processors'
}

function basisText({ replayed: { requests, represents } }: PoolAdvice): string {
  const all =
    requests === represents
      ? `all ${amount(requests)} requests`
      : `${amount(requests)} requests, which stand for ${amount(represents)}`
  return `replayed: ${all}${represents < FEW ? '; so few say little about one in a hundred' : ''}`
}

function halfBusyText({ workMs, halfBusyThreads }: PoolAdvice, passedMs: number): string {
  return `half busy: ${counted(halfBusyThreads, 'thread')} (2 × ${span(workMs)} of work in ${span(passedMs)} = ${amount((2 * workMs) / passedMs)})`
}

function trialText({ threads, waits }: Trial, quantile: number): string {
  return `${counted(threads, 'thread')}: ${quantileName(quantile)} ${span(waits.quantileMs)}`
}

function assumed({ options }: AdviceReport, pool: PoolAdvice): string[] {
  if (pool.loopMs !== undefined) return []
  return options.cpuShare === undefined
    ? [
        'assumed: a request keeps its thread for all of its time, which is the worst case; --cpu-share says how much of it computes',
      ]
    : [`assumed: of the time of the requests, ${percent(options.cpuShare)} is computing (--cpu-share), the rest waits`]
}

// ---- memory ----------------------------------------------------------------------------------------------------

function memoryLines(use: MemoryAdvice, pools: readonly PoolAdvice[]): string[] {
  const dispatcher = use.dispatcherBytes > 0 ? ` − ${memory(use.dispatcherBytes)} dispatcher` : ''
  const sum =
    use.limitBytes === undefined
      ? `${memory(use.ramBytes)} RAM − ${memory(use.systemBytes)} system − ${memory(use.diskCacheBytes)} disk cache in use − ${memory(use.otherBytes)} other processes${dispatcher}`
      : `${memory(use.limitBytes)} limit of this service${dispatcher}`
  const needed = pools.reduce((most, pool) => most + (pool.smallest?.shape.processes ?? 0), 0)
  const enough = needed <= use.processes ? '' : `; the pool advised above does not fit`
  return [
    paint('bold', 'Memory'),
    `  ${sum} = ${memory(use.leftBytes)}`,
    `  ÷ ${memory(use.perProcessBytes)} a process${use.isEstimate ? ' (without sites: an estimate)' : ' (measured)'} = ${counted(use.processes, 'process', 'processes')} at most${enough}`,
    ...pools.flatMap((pool) => ownLimitLines(pool, use.perProcessBytes)),
  ]
}

/** A pool that may take less than there is. */
function ownLimitLines({ pool, memoryBytes, smallest }: PoolAdvice, perProcessBytes: number): string[] {
  if (memoryBytes === undefined) return []
  const processes = Math.floor(memoryBytes / perProcessBytes)
  const section = pool === 'default' ? '[pool]' : `[pool ${pool}]`
  const enough = (smallest?.shape.processes ?? 0) <= processes ? '' : '; the one advised above does not fit'
  return [
    `  \`${section} memory\` ${memory(memoryBytes)} ÷ ${memory(perProcessBytes)} = ${counted(processes, 'process', 'processes')} at most${enough}`,
  ]
}

// ---- sites -----------------------------------------------------------------------------------------------------

const TITLES = ['SITE', 'REQUESTS', 'BUSY', 'CPU', 'MEAN', 'P99', 'WAIT P99', 'MEAN CAPACITY', 'WORST CASE']

function capacityLines({ sites, pools, capacity, source }: AdviceReport): string[] {
  const shown = sites.slice(0, MAX_SITES)
  const asked = pools.filter(({ requests }) => requests > 0)
  const several = asked.length > 1
  const rows = [
    TITLES.map((text): Cell => ({ text, style: 'dim' })),
    ...shown.map((site) => siteRow(site, several, source === 'log')),
    totalRow(capacity),
  ]
  const left = sites.length - shown.length
  const threads = several
    ? asked.map((pool) => `${pool.pool} ${threadsOf(pool)}`).join(', ')
    : asked.map((pool) => counted(threadsOf(pool), 'thread')).join()
  return [
    `${paint('bold', 'Capacity')} in requests/s, with ${threads}, if the pool were for this site alone; worst case: every request as slow as 1 in 100 is now`,
    ...columns(rows).map((line) => `  ${line}`),
    ...(left > 0 ? [`  … and ${counted(left, 'more site')}: --json has all`] : []),
  ]
}

function siteRow(site: SiteAdvice, several: boolean, isLog: boolean): Cell[] {
  const { requests, busyShare, cpuShare, service, waitP99Ms, capacity } = site
  return [
    { text: several ? `${site.site} (${site.pool})` : site.site, style: 'bold' },
    { text: amount(requests) },
    { text: percent(busyShare) },
    { text: cpuShare === undefined ? '-' : percent(cpuShare) },
    { text: span(service.meanMs) },
    { text: span(service.p99Ms) },
    { text: isLog ? '-' : span(waitP99Ms) },
    { text: `${amount(capacity.mean)}/s` },
    { text: `${amount(capacity.worst)}/s` },
  ]
}

function totalRow({ mean, worst }: AdviceReport['capacity']): Cell[] {
  const blanks = Array.from({ length: TITLES.length - 3 }, (): Cell => ({ text: '' }))
  return [{ text: 'all, as mixed now' }, ...blanks, { text: `${amount(mean)}/s` }, { text: `${amount(worst)}/s` }]
}

function remarkLines(remarks: readonly string[]): string[] {
  if (remarks.length === 0) return ['No site stands out.']
  return [paint('bold', 'What stands out'), ...remarks.map((remark) => `  ${remark}`)]
}
