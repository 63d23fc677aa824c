/**
 * Durations, sizes and percentages: numbers with a unit.
 */
import { quote } from './problems.ts'
import type { Read } from './units.ts'
import { textType } from './units.ts'

// ---- durations -------------------------------------------------------------------------------------------------

const DURATION = /^(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m)?\s*(?:(\d+)\s*s)?\s*(?:(\d+)\s*ms)?$/
const DURATION_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/** A timer takes no more (2^31 - 1 ms, nearly 25 days); with more, Node fires it at once. */
const MAX_DURATION_MS = 24 * 86_400_000

/**
 * A duration, in ms.
 *
 * @param minMs the least that makes sense
 * @param maxMs the most; more than a timer takes only for what no timer waits for
 */
export function duration(minMs: number, maxMs = MAX_DURATION_MS) {
  return textType<number>(
    minMs === 0 ? 'duration' : `duration, at least ${formatDuration(minMs)}`,
    (found) => readDuration(found, minMs, maxMs),
    formatDuration,
  )
}

function readDuration(found: string, minMs: number, maxMs: number): Read<number> {
  const parts = DURATION.exec(found)
  if (parts === null || found === '') {
    return { problem: `${quote(found)} is not a duration (such as 500ms, 30s, 5m)` }
  }
  let value = 0
  for (const [index, [, unitMs]] of DURATION_UNITS.entries()) value += Number(parts[index + 1] ?? 0) * unitMs
  if (value < minMs) return { problem: `${quote(found)} is too short: at least ${formatDuration(minMs)}` }
  if (value > maxMs) return { problem: `${quote(found)} is too long: at most ${formatDuration(maxMs)}` }
  return { value }
}

/** As it would be written in an INI file, such as `1m30s`. @param ms a whole number */
export function formatDuration(ms: number): string {
  let left = ms
  let written = ''
  for (const [unit, unitMs] of DURATION_UNITS) {
    const count = Math.floor(left / unitMs)
    if (count > 0) written += `${count}${unit}`
    left -= count * unitMs
  }
  return written === '' ? '0s' : written
}

// ---- sizes -----------------------------------------------------------------------------------------------------

const SIZE = /^(\d{1,15})\s*(?:([kmgt]?)(?:i?b)?)$/i
const SIZE_UNITS = [
  ['TB', 1024 ** 4],
  ['GB', 1024 ** 3],
  ['MB', 1024 ** 2],
  ['KB', 1024],
  ['B', 1],
] as const

/** A size, in bytes; KB, MB, GB and TB are powers of 1024. */
export const size = textType<number>('size', readSize, formatSize)

/** A size that is not below some bytes. @param minBytes the least that makes sense */
export function sizeFrom(minBytes: number) {
  return textType<number>(
    `size, at least ${formatSize(minBytes)}`,
    (found) => {
      const read = readSize(found)
      const isSmall = 'value' in read && read.value < minBytes
      return isSmall ? { problem: `${quote(found)} is too small: at least ${formatSize(minBytes)}` } : read
    },
    formatSize,
  )
}

/** A size between two bounds, in bytes. */
export function sizeRange(minBytes: number, maxBytes: number) {
  const least = sizeFrom(minBytes)
  return textType<number>(
    `size, ${formatSize(minBytes)} to ${formatSize(maxBytes)}`,
    (found) => {
      const bytes = least.safeParse(found)
      if (!bytes.success) return { problem: bytes.error.issues[0]?.message ?? 'is not a size' }
      if (bytes.data <= maxBytes) return { value: bytes.data }
      return { problem: `${quote(found)} is too large: at most ${formatSize(maxBytes)}` }
    },
    formatSize,
  )
}

function readSize(found: string): Read<number> {
  const parts = SIZE.exec(found)
  if (parts === null) return { problem: `${quote(found)} is not a size (such as 512KB, 10MB, 1GB)` }
  const letter = (parts[2] ?? '').toUpperCase()
  const unit = SIZE_UNITS.find(([name]) => name === `${letter}B`)
  const value = Number(parts[1]) * (unit?.[1] ?? 1)
  return Number.isSafeInteger(value) ? { value } : { problem: `${quote(found)} is too large: at most 8191TB` }
}

/** As it would be written in an INI file, such as `10MB`. @param bytes a whole number */
export function formatSize(bytes: number): string {
  const unit = SIZE_UNITS.find(([, factor]) => bytes >= factor && bytes % factor === 0) ?? SIZE_UNITS[4]
  return `${bytes / unit[1]}${unit[0]}`
}

// ---- percentages -----------------------------------------------------------------------------------------------

const PERCENT = /^(\d{1,3}(?:\.\d{1,3})?)\s*%$/

/** A part of something, as a number from 0 to 1. */
export const percent = textType<number>('percentage', readPercent, (share) => `${Math.round(share * 100_000) / 1000}%`)

function readPercent(found: string): Read<number> {
  const parts = PERCENT.exec(found)
  if (parts === null) return { problem: `${quote(found)} is not a percentage (such as 10%)` }
  const value = Number(parts[1]) / 100
  return value <= 1 ? { value } : { problem: `${quote(found)} is too much: at most 100%` }
}
