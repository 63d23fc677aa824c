/**
 * Reads one line of an access log in the combined format with a request time behind it: nginx's `combined` and Apache's
 * `vhost_combined`, with the host in front or not; a line of vhostel's own logs, JSON too; or JSON of another server, with
 * nginx's names of variables or as Caddy writes it. Pure.
 *
 * The time is, of what stands behind the user agent, the first of these: what is called `rt=` or `request_time=`; what has a unit
 * (`12ms`); seconds with three decimals or more (nginx's `$request_time` always has three; a `$gzip_ratio` has two, and a client
 * may send any number in a header), those without quotes before those with; seconds with fewer, without quotes; and a whole
 * number (microseconds: Apache's `%D`). No time is longer than a day: that is `$msec`, when it was written. Of a line of vhostel's own
 * it is the time without the wait for a thread; what reached no thread (files, redirects) is nothing for a pool.
 *
 * Invariant: the time to read a line is proportional to its length, whatever is in it.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { normaliseHost } from '../config/domains.ts'

export interface LogLine {
  /** Undefined where the log has none. */
  host: string | undefined
  /** When it was written, which is the end of the request; Unix time in ms, whole seconds in most logs. */
  atMs: number
  serviceMs: number
}

/** Why a line is of no use. `time`: everything is there but a request time. `elsewhere`: no thread had the request. */
export type Unusable = 'garbage' | 'time' | 'elsewhere'

export type TimeUnit = 's' | 'ms' | 'us'

const REST = /^\] "(?:[^"\\]|\\.)*" (\d{3}) (?:\d+|-)(.*)$/
/** What dispatcher/access-format.ts writes behind the combined format. */
const OWN = /" rt=(\d+\.\d{6}) ft=(\d+\.\d{6}|-) qt=(\d+\.\d{6}|-) thread=(\d+\/\d+|-) id=\S+ cache="(?:[^"\\]|\\.)*"$/
const DURATION = z.number().min(0)
/** What dispatcher/access-format.ts writes as JSON, as far as it counts here. */
const OWN_JSON = z.object({
  time: z.iso.datetime(),
  site: z.string().optional(),
  host: z.string().optional(),
  status: z.number(),
  total_ms: DURATION,
  first_byte_ms: DURATION.default(0),
  queue_ms: DURATION.default(0),
  thread: z.number().optional(),
})
/** Names of other servers' JSON: when it was written, how long it took (seconds, where nothing else is said), and the host. */
const AT_KEYS = ['time_iso8601', '@timestamp', 'timestamp', 'time', 'time_local', 'msec', 'ts'] as const
const TIME_KEYS = ['request_time', 'duration'] as const
const HOST_KEYS = ['host', 'http_host', 'server_name', 'vhost'] as const
/** Unix time above this is in ms. */
const MOST_SECONDS = 100_000_000_000
/** A tunnel (WebSocket): it takes a thread's time until it begins. */
const SWITCHED = 101
const TOKEN = /(?:\w{1,32}[=:])?"(?:[^"\\]|\\.)*"|[^\s"]+/g
const NUMBER = /^(?:"?(\w{1,32})[=:])?("?)(\d{1,12}(?:\.\d{1,9})?)(us|ms|s)?"?$/
const OWN_NAME = /^(?:rt|request_time)$/
/** Other names that a time of the request may have; most names are of the upstream's part of it (`urt=`), or of something else. */
const GENERAL_NAME = /^(?:t|time|took|dur|duration|req_?time)$/
const THOUSANDTHS = /\.\d{3}/
const HTTP_VERSION = /^(?:1\.[01]|[23]\.0)$/
const LONGEST_MS = 86_400_000
const MS_PER = { s: 1000, ms: 1, us: 0.001 } as const satisfies Record<TimeUnit, number>

/** @param unit of request times, where the log's own form says something else */
export function readLogLine(line: string, unit?: TimeUnit): LogLine | Unusable {
  if (line.startsWith('{')) return readJson(line, unit)
  const open = line.indexOf(' [')
  const close = line.indexOf(']', open)
  if (open <= 0 || close < 0) return 'garbage'
  const rest = REST.exec(line.slice(close))
  const atMs = readTime(line.slice(open + 2, close))
  if (rest === null || atMs === undefined) return 'garbage'
  const [, status = '', behind = ''] = rest
  const own = OWN.exec(behind)
  const serviceMs = own === null ? withoutTunnel(status, readServiceMs(behind, unit)) : ownMs(own, Number(status))
  if (serviceMs === undefined) return own === null ? 'time' : 'elsewhere'
  return { host: hostOf(line.slice(0, open)), atMs, serviceMs }
}

/** @returns undefined for what reached no thread */
function ownMs([, total, firstByte, queue, thread]: RegExpExecArray, status: number): number | undefined {
  if (thread === '-') return undefined
  const [totalMs = 0, firstByteMs = 0, queueMs = 0] = [total, firstByte, queue].map((text) => 1000 * Number(text) || 0)
  return withoutWait({ status, totalMs, firstByteMs, queueMs })
}

interface Times {
  status: number
  totalMs: number
  firstByteMs: number
  queueMs: number
}

function withoutWait({ status, totalMs, firstByteMs, queueMs }: Times): number {
  return Math.max(0, (status === SWITCHED ? firstByteMs : totalMs) - queueMs)
}

/** Of other servers it is not known when a tunnel began: hours of an open WebSocket are no work. */
function withoutTunnel<T extends number | undefined>(status: unknown, serviceMs: T): T | 0 {
  return serviceMs !== undefined && Number(status) === SWITCHED ? 0 : serviceMs
}

/** A line of `format = json`, where the site is known by its name, or of another server. */
function readJson(line: string, unit: TimeUnit | undefined): LogLine | Unusable {
  const fields = parsed(line)
  if (!Object.hasOwn(fields, 'total_ms')) return readOtherJson(fields, unit)
  const read = OWN_JSON.safeParse(fields)
  if (!read.success) return 'garbage'
  const { time, site, host, status, total_ms, first_byte_ms, queue_ms, thread } = read.data
  if (thread === undefined) return 'elsewhere'
  const serviceMs = withoutWait({ status, totalMs: total_ms, firstByteMs: first_byte_ms, queueMs: queue_ms })
  return { host: site ?? host, atMs: Date.parse(time), serviceMs }
}

function readOtherJson(fields: Fields, unit: TimeUnit | undefined): LogLine | Unusable {
  const at = firstOf(fields, AT_KEYS)
  const seconds = Number(at)
  const atMs = seconds >= 0 ? (seconds > MOST_SECONDS ? seconds : 1000 * seconds) : readTime(at ?? '')
  if (at === undefined || atMs === undefined) return 'garbage'
  const time = Number(firstOf(fields, TIME_KEYS))
  if (!(time >= 0)) return 'time'
  const { request, status } = fields
  const host = firstOf(fields, HOST_KEYS) ?? firstOf(isFields(request) ? request : {}, HOST_KEYS)
  const serviceMs = withoutTunnel(status, time * MS_PER[unit ?? 's'])
  return { host: host === undefined ? undefined : normaliseHost(host), atMs, serviceMs }
}

type Fields = Record<string, unknown>

/** The first that is there, and neither empty nor `-`. */
function firstOf(fields: Fields, keys: readonly string[]): string | undefined {
  const texts = keys.map((key) => (Object.hasOwn(fields, key) ? fields[key] : undefined))
  const found = texts.find((value) => typeof value === 'number' || (typeof value === 'string' && !/^-?$/.test(value)))
  return found === undefined ? undefined : String(found)
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}

/** No fields where it is no JSON. */
function parsed(line: string): Fields {
  try {
    const value: unknown = JSON.parse(line)
    return isFields(value) ? value : {}
  } catch {
    return {}
  }
}

/** `address - user` or `host address - user`; a user may have blanks. */
function hostOf(start: string): string | undefined {
  const words = start.split(' ', 4)
  if (words.length < 4 || isIP(words[0] ?? '') !== 0) return undefined
  return normaliseHost(words[0] ?? '')
}

/** A number behind the user agent. */
interface Field {
  name: string | undefined
  isQuoted: boolean
  digits: string
  unit: TimeUnit | undefined
}

/** Which field is the time: the first that fits the first of these that any fits. */
const PREFERENCES: readonly ((field: Field) => boolean)[] = [
  ({ name }) => name !== undefined && OWN_NAME.test(name),
  ({ unit }) => unit !== undefined,
  ({ digits, isQuoted }) => !isQuoted && THOUSANDTHS.test(digits),
  ({ digits }) => THOUSANDTHS.test(digits),
  ({ digits, isQuoted }) => !isQuoted && digits.includes('.') && !HTTP_VERSION.test(digits),
  ({ digits }) => !digits.includes('.'),
]

/** @param unit where it is said @returns undefined where there is no time */
function readServiceMs(rest: string, unit: TimeUnit | undefined): number | undefined {
  const tokens = rest.match(TOKEN) ?? []
  // The first two are what the client sent: the page it came from, and its own name.
  const fields = tokens.slice(rest.trimStart().startsWith('"') ? 2 : 0).flatMap(fieldOf)
  const ms = (field: Field): number =>
    Number(field.digits) * MS_PER[unit ?? field.unit ?? (field.digits.includes('.') ? 's' : 'us')]
  const possible = fields.filter((field) => ms(field) <= LONGEST_MS)
  for (const isTime of PREFERENCES) {
    const found = possible.find(isTime)
    if (found !== undefined) return ms(found)
  }
  return undefined
}

/** None where it is no number, or one that is called something else than a time of the request. */
function fieldOf(token: string): Field[] {
  const [, name, quote, digits = '', unit] = NUMBER.exec(token) ?? []
  if (digits === '' || (name !== undefined && !OWN_NAME.test(name) && !GENERAL_NAME.test(name))) return []
  return [{ name, isQuoted: quote === '"', digits, unit: unit as TimeUnit | undefined }]
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
