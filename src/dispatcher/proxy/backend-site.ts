/**
 * What the visits of one proxied site share: its settings in force, its upstreams, and the lines about what fails.
 */
import type { ProxySettings } from '../../config/site-backend.ts'
import type { SiteConfig } from '../../config/site-schema.ts'
import { UpstreamFailed, UpstreamTimeout } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { AnswerInvalid } from '../answer-framing.ts'
import { cut } from '../client-exchange.ts'
import type { FailureLog } from '../failure-log.ts'
import { sendError } from '../send-error.ts'
import type { Visit } from '../visit.ts'
import type { Target } from './target.ts'
import type { UpstreamGroup } from './upstream-group.ts'
import { tlsFault } from './upstream-tls.ts'
import type { WaitingBytes } from './waiting-bytes.ts'

export interface BackendSite {
  readonly config: SiteConfig
  /** Of `config`. */
  readonly proxy: ProxySettings
  readonly group: UpstreamGroup
  /** The program that answers; undefined where other servers do. */
  readonly program: StartedAgain | undefined
  readonly failures: FailureLog
  readonly waiting: WaitingBytes
  readonly log: Log
}

/** A program that is started again when it ends. */
export interface StartedAgain {
  /** Whether that is at once, so that what it did not read can wait for it. */
  startsAtOnce(): boolean
  /** Nobody can reach it any more. @param why in words that follow its name. @returns whether a fresh one is to be waited for */
  isCutOff(target: Target, why: string): boolean
}

/** Why no answer came. `wasSent`: the upstream had the connection, and may have worked on the request. */
export interface Failure {
  error: Error
  wasSent: boolean
  /** The connection had carried another request before. */
  wasKept?: boolean
}

const TIMEOUTS = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'ETIMEDOUT'])

/** Whether the time was up, and the upstream may still be at it. */
export function isTimeout({ error }: Failure): boolean {
  return TIMEOUTS.has(String((error as NodeJS.ErrnoException).code))
}

/** Heads that are larger than is taken, as undici and Node call them. */
const TOO_LARGE = new Set(['UND_ERR_HEADERS_OVERFLOW', 'HPE_HEADER_OVERFLOW'])
/** What undici says, which reads them as the end of the connection, where it expects no such answer. */
const UNASKED: Readonly<Record<string, string>> = {
  'bad response': '100 Continue',
  'bad upgrade': '101 Switching Protocols',
}

function unasked({ code, message }: NodeJS.ErrnoException): string | undefined {
  // A 101 that does not say to what.
  const status = code === 'ERR_ASSERTION' ? UNASKED['bad upgrade'] : UNASKED[message]
  return status === undefined ? undefined : `answered with ${status}, which nobody asked for`
}

/** What it did answer, in words that follow its name; undefined where that was nothing. undici's errors of this kind have no code. */
function badAnswer(error: NodeJS.ErrnoException): string | undefined {
  const { code = '', name, message } = error
  if (TOO_LARGE.has(code)) return 'answered with a head that is too large'
  const status = unasked(error)
  if (status !== undefined) return status
  const isNoHttp =
    name === 'HTTPParserError' || code.startsWith('HPE_') || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  return isNoHttp ? `answered with what is not good HTTP (${message})` : undefined
}

const UNREAD = new Set(['ECONNRESET', 'EPIPE'])

/** Whether the connection ended without a byte of an answer. */
export function isEnded(failure: Failure): boolean {
  return wasUnread(failure) || (failure.error as NodeJS.ErrnoException).code === 'UND_ERR_SOCKET'
}

/**
 * Whether who ended the connection had not read all that it was sent: then the kernel resets it, and else it only ends. Of a request
 * without a body it has done nothing then, so it did not end because of it.
 */
export function wasUnread({ error }: Failure): boolean {
  return UNREAD.has(String((error as NodeJS.ErrnoException).code))
}

/** Answers a visit that got no answer, and tells the log; in the middle of an answer the connection is cut. */
export function answerFailure(site: BackendSite, visit: Visit, error: Error): void {
  const { req, res } = visit
  writeFailure(site, visit, error)
  if (res.destroyed || res.socket?.destroyed === true) return
  if (res.headersSent) return cut(res)
  // Node keeps a reason that it has refused, and would refuse the next head because of it.
  res.statusMessage = ''
  sendError(req, res, error)
}

/** A line of the log for a request that failed. */
export function writeFailure({ config, failures }: BackendSite, { req }: Visit, error: Error): void {
  failures.write({ site: config, head: { method: req.method ?? '', url: req.url ?? '' } }, error)
}

const KEPT_CURE =
  '; it was a kept one: if the upstream ends those when they are idle, make [proxy] keepalive shorter than its own time for that'
/** What people point at by mistake closes the connection, or answers in its own protocol. */
const PROTOCOL_CURE = '; it never answered yet: does it speak HTTP/1.1 there, and not TLS, FastCGI or another protocol?'
/** What the words of the system mean where an upstream cannot be reached. */
const MEANINGS: Readonly<Record<string, string>> = {
  EACCES: ': the user of the server may not connect: let it enter the folders of the socket, and write to the socket',
  EAI_AGAIN: ': no name server answered',
  ECONNREFUSED: ': nobody listens there',
  ENOENT: ': there is no such socket',
  ENOTFOUND: ': there is no such name',
}
/** What an answer is ended with that stands still, by undici and here. */
export const PAUSED = 'UND_ERR_BODY_TIMEOUT'

/** What is wrong, and the cure, in words that follow its name. */
const FULL =
  'has no room for more connections (EAGAIN): make [proxy] connections as small as its queue of them (backlog)'

/** Whether an upstream is there, and accepts no connection at the moment: those of a unix socket that would have to wait are refused. */
export function isFull({ error, wasSent }: Failure): boolean {
  return !wasSent && (error as NodeJS.ErrnoException).code === 'EAGAIN'
}

/** An upstream is full: that is told once. */
export function noteFull({ config, log }: BackendSite, target: Target): void {
  if (target.isFullTold) return
  target.isFullTold = true
  log.warn({ site: config.name, upstream: target.label }, `upstream ${FULL}`)
}

/** What the client is answered, and the log told. */
export function asUpstreamError(site: string, target: Target, failure: Failure): Error {
  const { error, wasSent } = failure
  const { code = '' } = error as NodeJS.ErrnoException
  if (isFull(failure)) return new UpstreamFailed(site, target.label, FULL)
  if (isTimeout(failure)) {
    return new UpstreamTimeout(site, target.label, wasSent ? 'begin its answer' : 'take the connection')
  }
  const cure = wasSent ? cureOf(target, failure) : (MEANINGS[code] ?? '')
  const fault = tlsFault(error) ?? (wasSent ? badAnswer(error) : undefined)
  if (fault !== undefined) return new UpstreamFailed(site, target.label, `${fault}${cure}`)
  const what = wasSent ? 'ended the connection before its answer' : 'cannot be reached'
  const why = code === '' || code.startsWith('UND_') ? error.message : code
  return new UpstreamFailed(site, target.label, `${what} (${why})${cure}`)
}

function cureOf({ hasAnswered }: Target, failure: Failure): string {
  const isOver = isEnded(failure)
  if (!hasAnswered && (isOver || failure.error.message.includes('Expected HTTP/'))) return PROTOCOL_CURE
  return isOver && failure.wasKept === true ? KEPT_CURE : ''
}

/** @param error why an answer ended in the middle */
export function asCut(target: Target, error: Error): AnswerInvalid {
  const isPause = (error as NodeJS.ErrnoException).code === PAUSED
  const what = isPause
    ? 'paused within its answer for longer than [proxy] read_timeout'
    : `ended its answer in the middle: ${error.message}`
  return new AnswerInvalid(`${target.label} ${what}`)
}

/** With so many in a row, and no answer between them, an upstream is not slow but mute. */
const MUTE_TIMEOUTS = 2

/** An upstream gave no answer: it is passed over for a while, which is told once. */
export function noteFailed(site: BackendSite, target: Target, failure: Failure): void {
  const { config, group, log, program } = site
  const { error, wasSent } = failure
  if (isFull(failure)) return noteFull(site, target)
  if (!wasSent && (error as NodeJS.ErrnoException).code === 'ENOENT') program?.isCutOff(target, 'its socket is gone')
  // One that is slow with one request, or answers it with too much, is there for others.
  if (wasSent && TOO_LARGE.has(String((error as NodeJS.ErrnoException).code))) return
  if (wasSent && isTimeout(failure) && (++target.timeouts < MUTE_TIMEOUTS || group.targets.length === 1)) return
  const wasWell = target.failures === 0
  const restMs = group.failed(target)
  target.why = tlsFault(error) ?? unasked(error) ?? error.message
  if (!wasWell) return
  log.warn({ site: config.name, upstream: target.label, why: target.why, restMs }, 'upstream failed')
}

/** An upstream began an answer. */
export function noteAnswered({ config, log }: BackendSite, target: Target): void {
  target.timeouts = 0
  target.hasAnswered = true
  if (target.failures === 0) return
  target.failures = 0
  target.restUntil = 0
  log.info({ site: config.name, upstream: target.label }, 'upstream is back')
}
