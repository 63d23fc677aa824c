/**
 * How many requests one address may make: `10/s`, `10/s burst 20`, `100/m`, `1000/h`.
 */
import { quote } from './problems.ts'
import type { Read } from './units.ts'
import { textType } from './units.ts'

export interface Rate {
  /** Requests in `perMs`. */
  count: number
  /** 1000, 60,000 or 3,600,000. */
  perMs: number
  /** Requests that may come at once, after a pause. At least 1. */
  burst: number
}

const UNITS = new Map([
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
])
const MAX_COUNT = 1_000_000

/** Without `burst`, as many may come at once as in the whole time. */
export const rate = textType<Rate>('rate, such as `10/s` or `10/s burst 20`', readRate, formatRate)

function readRate(found: string): Read<Rate> {
  const [, countText, unit = '', burstText = countText] =
    /^(\d{1,9})\s*\/\s*([smh])(?:\s+burst\s+(\d{1,9}))?$/.exec(found) ?? []
  const perMs = UNITS.get(unit)
  if (perMs === undefined) return { problem: `${quote(found)} is not a rate (such as 10/s, 100/m or 10/s burst 20)` }
  const [count, burst] = [Number(countText), Number(burstText)]
  const wrong = [count, burst].find((value) => value < 1 || value > MAX_COUNT)
  if (wrong !== undefined) return { problem: `${quote(found)}: ${wrong} is out of range: 1 to ${MAX_COUNT}` }
  return { value: { count, perMs, burst } }
}

function formatRate({ count, perMs, burst }: Rate): string {
  const unit = [...UNITS].find(([, ms]) => ms === perMs)?.[0]
  return `${count}/${unit}${burst === count ? '' : ` burst ${burst}`}`
}
