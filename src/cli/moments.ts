/**
 * Points in time as a person reads them who looks at the clock on the wall: local time, the date only where it is another day.
 */
import { span } from '../advice/words.ts'

const DAY_MS = 86_400_000
const MAX_HOURS_MS = 2 * DAY_MS

/** `12:01:03`, or `2026-11-20 12:01:03` where that is not today. Both Unix time in ms. */
export function clock(atMs: number, nowMs: number): string {
  const at = new Date(atMs)
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')
  return at.toDateString() === new Date(nowMs).toDateString() ? time : `${dateOf(at)} ${time}`
}

/** `2026-11-21 13:02`. @param ms Unix time */
export function dateAndMinute(ms: number): string {
  const at = new Date(ms)
  return `${dateOf(at)} ${[at.getHours(), at.getMinutes()].map(two).join(':')}`
}

/** `3 s`, `4 min`, `12 days`. Another clock may be ahead of ours: never less than nothing. */
export function lasting(ms: number): string {
  if (ms < 1000) return 'less than 1 s'
  return ms < MAX_HOURS_MS ? span(ms) : `${Math.round(ms / DAY_MS)} days`
}

function dateOf(at: Date): string {
  return [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-')
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
