/**
 * What is known of a request that is over, as one line of an access log. Pure, and fast: it runs for every request.
 *
 * Invariant: a line is one line, and every field ends where it seems to: nothing that a client sends ends a field early or
 * makes a line of its own. No field has more than `MAX_FIELD` characters of what was sent.
 */
import type { AccessFormat } from '../config/log-schema.ts'

/** Texts are as they were sent, one character a byte; '' and undefined: not known. */
export interface AccessEntry {
  /** When the request was over, Unix time in ms. */
  time: number
  client: string
  /** Name of the site; '' for a request that reached none. */
  site: string
  /** As asked for, normalised. */
  host: string
  /** Of the server, where the request came in. */
  port: number
  /** '' where no request line was read. */
  method: string
  target: string
  /** `1.1`, … */
  httpVersion: string
  /** 499: the client left before an answer. */
  status: number
  /** Of the body. */
  bytes: number
  /** From the request's head to that of the answer, and to its end. */
  firstByteMs: number | undefined
  totalMs: number
  /** Until the request was with a thread. */
  queueMs: number | undefined
  process: number | undefined
  thread: number | undefined
  /** The answer's Cache-Status (RFC 9211). */
  cache: string
  id: string
  referer: string
  userAgent: string
  /** `TLSv1.3`, … */
  tls: string
  /** Whether the answer ended before it was whole. */
  isCut: boolean
  /** Why the request was refused before it was read; '' where it was not. */
  reason: string
}

const MAX_FIELD = 2048

/** @returns a line with its line feed */
export function formatEntry(entry: AccessEntry, format: AccessFormat): string {
  switch (format) {
    case 'timed':
      return `${combined(entry)}${timed(entry)}\n`
    case 'vhost_timed':
      return `${hostAndPort(entry)} ${combined(entry)}${timed(entry)}\n`
    case 'combined':
      return `${combined(entry)}\n`
    case 'vhost_combined':
      return `${hostAndPort(entry)} ${combined(entry)}\n`
    case 'json':
      return json(entry)
    default:
      return format satisfies never
  }
}

// ---- combined --------------------------------------------------------------------------------------------------

function combined(entry: AccessEntry): string {
  const { client, time, method, target, httpVersion, status, bytes, referer, userAgent } = entry
  const request = method === '' ? '-' : `${method} ${escaped(target)} HTTP/${httpVersion}`
  return `${orDash(client)} - - [${commonTime(time)}] "${request}" ${status} ${bytes} "${orDash(referer)}" "${orDash(userAgent)}"`
}

function hostAndPort({ host, port }: AccessEntry): string {
  return `${orDash(host)}:${port}`
}

/** Behind the combined format, under names that people give these in nginx; advice/log-line.ts reads them. */
function timed({ totalMs, firstByteMs, queueMs, process, thread, id, cache }: AccessEntry): string {
  const where = process === undefined || thread === undefined ? '-' : `${process}/${thread}`
  return (
    ` rt=${seconds(totalMs)} ft=${seconds(firstByteMs)} qt=${seconds(queueMs)} thread=${where}` +
    ` id=${id === '' ? '-' : id} cache="${orDash(cache)}"`
  )
}

/** To the microsecond. */
function seconds(ms: number | undefined): string {
  return ms === undefined ? '-' : (Math.max(0, ms) / 1000).toFixed(6)
}

function orDash(text: string): string {
  return text === '' ? '-' : escaped(text)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE = /[\x00-\x1f"\\\x7f-\uffff]/
const UNSAFE_EACH = new RegExp(UNSAFE, 'g')

/** As nginx does: bytes that could be mistaken for something else as `\xHH`. */
function escaped(text: string): string {
  const cut = text.length > MAX_FIELD ? `${text.slice(0, MAX_FIELD)}...` : text
  return UNSAFE.test(cut) ? cut.replace(UNSAFE_EACH, hexadecimal) : cut
}

/** Also of what is no byte, such as a host in letters: as the bytes of its UTF-8. */
function hexadecimal(character: string): string {
  const bytes = Buffer.from(character, character.charCodeAt(0) < 256 ? 'latin1' : 'utf8')
  return [...bytes].map((byte) => `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
let lastSecond = Number.NaN
let lastText = ''

/** `10/Oct/2026:13:55:36 +0200`, in the server's time zone; made once a second. */
function commonTime(time: number): string {
  const second = Math.floor(time / 1000)
  if (second === lastSecond) return lastText
  const date = new Date(time)
  const offset = -date.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  lastText = `${two(date.getDate())}/${MONTHS[date.getMonth()]}/${date.getFullYear()}:${clock} ${zone}`
  lastSecond = second
  return lastText
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

// ---- JSON ------------------------------------------------------------------------------------------------------

let lastIsoSecond = Number.NaN
let lastIsoText = ''

/** Keys in this order; those that are not known are left out. */
function json(entry: AccessEntry): string {
  const { host, method, target, httpVersion } = entry
  const asked = method === '' ? '' : `,"method":"${method}","target":${quoted(target)},"protocol":"HTTP/${httpVersion}"`
  return (
    `{"time":"${isoTime(entry.time)}"${plain('site', entry.site)}${field('host', host)}${asked},"status":${entry.status}` +
    `,"bytes":${entry.bytes}${duration('first_byte_ms', entry.firstByteMs)}${duration('total_ms', entry.totalMs)}` +
    `${duration('queue_ms', entry.queueMs)}${number('process', entry.process)}${number('thread', entry.thread)}` +
    `${field('cache', entry.cache)}${plain('request', entry.id)}${field('client', entry.client)}` +
    `${field('referer', entry.referer)}${field('user_agent', entry.userAgent)}${plain('tls', entry.tls)}` +
    `${entry.isCut ? ',"cut":true' : ''}${field('reason', entry.reason)}}\n`
  )
}

function field(name: string, text: string): string {
  return text === '' ? '' : `,"${name}":${quoted(text)}`
}

/** Of a text that cannot have anything to be quoted: what is checked or made by us, or by Node. */
function plain(name: string, text: string): string {
  return text === '' ? '' : `,"${name}":"${text}"`
}

function number(name: string, value: number | undefined): string {
  return value === undefined ? '' : `,"${name}":${value}`
}

/** To the microsecond; by whole numbers, which is several times as fast. */
function duration(name: string, ms: number | undefined): string {
  if (ms === undefined) return ''
  const microseconds = Math.max(0, Math.round(ms * 1000))
  return `,"${name}":${Math.floor(microseconds / 1000)}.${THREE[microseconds % 1000]}`
}

/** `000` to `999`. */
const THREE = Array.from({ length: 1000 }, (_, value) => String(value).padStart(3, '0'))

function quoted(text: string): string {
  const cut = text.length > MAX_FIELD ? `${text.slice(0, MAX_FIELD)}...` : text
  return UNSAFE.test(cut) ? JSON.stringify(fromBytes(cut)).replace(LINE_ENDS, unicode) : `"${cut}"`
}

/** What JSON leaves as it is, and some readers take for the end of a line or do not show. */
const LINE_ENDS = /[\x7f-\x9f\u2028\u2029]/g

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** What came over the wire is one character a byte; nearly always it is UTF-8. */
function fromBytes(text: string): string {
  return /[\u0100-\uffff]/.test(text) ? text : Buffer.from(text, 'latin1').toString('utf8')
}

function isoTime(time: number): string {
  const second = Math.floor(time / 1000)
  if (second !== lastIsoSecond) {
    lastIsoSecond = second
    lastIsoText = new Date(second * 1000).toISOString().slice(0, 20)
  }
  return `${lastIsoText}${THREE[time - second * 1000]}Z`
}
