/**
 * What an ACME server says when it does not want to: its problem document (RFC 7807, RFC 8555 §6.7) in words for a person.
 *
 * Limits: `MAX_REASONS` reasons of `MAX_LENGTH` characters, without control characters: a server's words go into logs and
 * terminals.
 */

const MAX_REASONS = 100
const MAX_LENGTH = 400
const PREFIX = 'urn:ietf:params:acme:error:'

/** The server answered a request with an error. */
export class Refusal extends Error {
  /** HTTP status; 0 where it stands in an order or a challenge. */
  readonly status: number
  /** Such as `rateLimited`; '' where the answer was no problem document. */
  readonly type: string
  readonly reasons: string[]
  /** 0: it did not say. */
  readonly retryAfterMs: number

  constructor(status: number, type: string, reasons: string[], retryAfterMs = 0) {
    super(reasons.join('; '))
    this.status = status
    this.type = type
    this.reasons = reasons
    this.retryAfterMs = retryAfterMs
  }
}

/** Reads an answer with an error status. @param body as parsed, or text where it was no JSON */
export function refusalOf(status: number, body: unknown, retryAfterMs: number): Refusal {
  const type = typeOf(body)
  const reasons = reasonsOf(body)
  if (reasons.length === 0) reasons.push(`the server answered with status ${status}`)
  return new Refusal(status, type, reasons, retryAfterMs)
}

/** `rateLimited` of `urn:ietf:params:acme:error:rateLimited`. */
export function typeOf(problem: unknown): string {
  const { type } = asRecord(problem)
  return typeof type === 'string' && type.startsWith(PREFIX) ? plain(type.slice(PREFIX.length)) : ''
}

/** The words of a problem document, with those of its subproblems; empty where it says nothing. @param name it is about */
export function reasonsOf(problem: unknown, name?: string): string[] {
  const { detail, subproblems, identifier } = asRecord(problem)
  const about = name ?? asRecord(identifier).value
  const type = typeOf(problem)
  const words = typeof detail === 'string' && detail !== '' ? detail : type
  const kind = type !== '' && words !== type ? ` (${type})` : ''
  const own = words === '' ? [] : [plain(`${typeof about === 'string' ? `${about}: ` : ''}${words}`) + kind]
  const more = Array.isArray(subproblems)
    ? subproblems.slice(0, MAX_REASONS).flatMap((one) => reasonsOf(flat(one)))
    : []
  return [...own, ...more].slice(0, MAX_REASONS)
}

/** One line without control characters, cut where it is long. */
export function plain(text: string): string {
  const line = text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim()
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH - 1)}…` : line
}

/** Subproblems have none of their own (RFC 8555 §6.7.1); a server that nests them does not lead us down. */
function flat(subproblem: unknown): Record<string, unknown> {
  return { ...asRecord(subproblem), subproblems: undefined }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/**
 * The value of `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
 *
 * @returns ms from now; 0 where there is none, it is no value, or it is over
 */
export function retryAfterMs(value: unknown, nowMs: number): number {
  if (typeof value !== 'string') return 0
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? 0 : Math.max(0, at - nowMs)
}
