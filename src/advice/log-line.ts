/**
 * Reads one line of an access log in the combined format with a request time behind it: nginx's `combined` and Apache's
 * `vhost_combined`, with the host in front or not. Pure.
 *
 * The time is, of what stands behind the user agent: what is called `rt=` or `request_time=`, else the first number with a
 * decimal point (seconds: nginx's `$request_time`), else the first whole number (microseconds: Apache's `%D`).
 *
 * Invariant: the time to read a line is proportional to its length, whatever is in it.
 */
import { isIP } from 'node:net'
import { normaliseHost } from '../config/domains.ts'

export interface LogLine {
  /** Undefined where the log has none. */
  host: string | undefined
  /** When it was written, which is the end of the request; Unix time in ms, whole seconds in most logs. */
  atMs: number
  serviceMs: number
}

/** Why a line is of no use. `time`: everything is there but a request time. */
export type Unusable = 'garbage' | 'time'

export type TimeUnit = 's' | 'ms' | 'us'

const REST = /^\] "(?:[^"\\]|\\.)*" \d{3} (?:\d+|-)(.*)$/
const TOKEN = /"(?:[^"\\]|\\.)*"|[^\s"]+/g
const NUMBER = /^(?:\w{1,32}=)?(\d{1,12}(?:\.\d{1,9})?)(us|ms|s)?$/
const NAMED = /^(?:rt|request_time)=/
const MS_PER = { s: 1000, ms: 1, us: 0.001 } as const satisfies Record<TimeUnit, number>

/** @param unit of request times, where the log's own form says something else */
export function readLogLine(line: string, unit?: TimeUnit): LogLine | Unusable {
  const open = line.indexOf(' [')
  const close = line.indexOf(']', open)
  if (open <= 0 || close < 0) return 'garbage'
  const rest = REST.exec(line.slice(close))
  const atMs = readTime(line.slice(open + 2, close))
  if (rest === null || atMs === undefined) return 'garbage'
  const serviceMs = readServiceMs(rest[1] ?? '', unit)
  return serviceMs === undefined ? 'time' : { host: hostOf(line.slice(0, open)), atMs, serviceMs }
}

/** `address - user` or `host address - user`; a user may have blanks. */
function hostOf(start: string): string | undefined {
  const words = start.split(' ', 4)
  if (words.length < 4 || isIP(words[0] ?? '') !== 0) return undefined
  return normaliseHost(words[0] ?? '')
}

function readServiceMs(rest: string, unit: TimeUnit | undefined): number | undefined {
  const tokens = (rest.match(TOKEN) ?? []).map((token) => token.replaceAll('"', ''))
  // The first two are what the client sent: the page it came from, and its own name.
  const numbers = tokens.slice(rest.trimStart().startsWith('"') ? 2 : 0).filter((token) => NUMBER.test(token))
  const chosen =
    numbers.find((token) => NAMED.test(token)) ?? numbers.find((token) => token.includes('.')) ?? numbers[0]
  const parts = NUMBER.exec(chosen ?? '')
  if (parts === null) return undefined
  const [, digits = '', written] = parts
  return Number(digits) * MS_PER[unit ?? (written as TimeUnit | undefined) ?? (digits.includes('.') ? 's' : 'us')]
}

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec'
const COMMON = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{2})(\d{2})$/
let lastText = ''
let lastMs: number | undefined

/** `10/Oct/2026:13:55:36 +0200`, or ISO 8601. Lines of one second have the same text: it is read once. */
function readTime(text: string): number | undefined {
  if (text === lastText) return lastMs
  lastText = text
  lastMs = undefined
  const [, day, month = '', year, time, hours, minutes] = COMMON.exec(text) ?? []
  const index = MONTHS.indexOf(month)
  const iso =
    day === undefined ? text : `${year}-${String(index / 3 + 1).padStart(2, '0')}-${day}T${time}${hours}:${minutes}`
  const ms = index % 3 === 0 && text.length < 40 ? Date.parse(iso) : Number.NaN
  if (Number.isFinite(ms)) lastMs = ms
  return lastMs
}
