/**
 * One load by wrk: so many connections for so long, and what came of it. Every answer must be a good one.
 */
import { join } from 'node:path'
import { startChild } from './children.ts'

const SCRIPT = join(import.meta.dirname, 'wrk.lua')
/** Over the load's own time, until it is taken as hanging. */
const GRACE_MS = 15_000

export interface Load {
  port: number
  /** Sites asked for in turn, by `Host: site1.test` and so on. */
  sites: number
  connections: number
  seconds: number
  /** Whether each request has a connection of its own. */
  closes?: boolean
}

export interface LoadResult {
  requests: number
  perSecond: number
  p50Us: number
  p99Us: number
}

interface Figures {
  requests: number
  durationUs: number
  p50Us: number
  p99Us: number
  connect: number
  read: number
  write: number
  status: number
  timeout: number
}

/** Runs one load. @throws when a request failed, or was answered with another status than 2xx or 3xx */
export async function runWrk({ port, sites, connections, seconds, closes = false }: Load): Promise<LoadResult> {
  // One thread of wrk drives more than twice what any contender answers, and leaves the other cores alone.
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', SCRIPT]
  await using wrk = await startChild('wrk', [
    ...args,
    `http://127.0.0.1:${port}/`,
    '--',
    String(sites),
    ...(closes ? ['closes'] : []),
  ])
  const hanging = setTimeout(() => void wrk.stop(), seconds * 1000 + GRACE_MS)
  await wrk.ended
  clearTimeout(hanging)
  const line = /^figures (.+)$/m.exec(wrk.output)?.[1]
  if (wrk.exitCode !== 0 || line === undefined) throw new Error(`wrk failed:\n${wrk.output}`)
  return check(JSON.parse(line) as Figures)
}

function check(figures: Figures): LoadResult {
  const { requests, durationUs, p50Us, p99Us, connect, read, write, status, timeout } = figures
  const failed = connect + read + write + status + timeout
  if (failed > 0 || requests === 0) throw new Error(`a load with failed requests: ${JSON.stringify(figures)}`)
  return { requests, perSecond: requests / (durationUs / 1e6), p50Us, p99Us }
}
