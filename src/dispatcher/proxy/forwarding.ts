/**
 * What an upstream is told of a request, and a client of an answer: the headers without those that are for one connection
 * only (RFC 9110 §7.6.1), and with those that say who asked (`X-Forwarded-*`, RFC 7239). Pure.
 *
 * Invariant: who asked is said by the server alone: whatever a client sends under these names is dropped, also with `_` for
 * `-`, which programs behind CGI and WSGI cannot tell apart.
 */
import type { IncomingMessage } from 'node:http'
import { isBodyless } from '../answer-framing.ts'
import { captureFields, isCaptureField } from '../captures.ts'
import { clientOf } from '../connection.ts'
import { fieldOf, namedByConnection, withoutFields } from '../header-fields.ts'
import type { Visit } from '../visit.ts'

/** Who asked, and where, as an upstream is told. */
export interface ForwardedClient {
  /** Undefined for one that came by a unix socket. */
  address: string | undefined
  protocol: 'http' | 'https'
  /** As asked for, with its port; undefined where an HTTP/1.0 client named none. */
  host: string | undefined
  /** Where it was received; undefined for a unix socket. */
  port: number | undefined
}

/** The one place that says who the client of a visit is. */
export function forwardedClient({ req, asked }: Visit): ForwardedClient {
  const { address, encrypted } = clientOf(req)
  return {
    address: address === '' ? undefined : address.replace(/^::ffff:(?=\d+\.)/, ''),
    protocol: encrypted ? 'https' : 'http',
    host: asked.authority ?? req.headers.host,
    port: req.socket.localPort,
  }
}

/** For one connection only, whether `Connection` names them or not. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'])
/**
 * Said by the server, or not at all. `Proxy` would become HTTP_PROXY for a CGI program; `Expect` is answered here; trailers
 * of a request are not passed on.
 */
const NOT_FROM_CLIENTS = new Set([
  'expect',
  'forwarded',
  'host',
  'proxy',
  'trailer',
  'x-forwarded-by',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-proto',
  'x-forwarded-server',
  'x-forwarded-ssl',
  'x-real-ip',
])

/** The headers of a request as its upstream gets them: name, value, name, value, … */
export function requestHeaders(visit: Visit, client: ForwardedClient): string[] {
  const { rawHeaders } = visit.req
  const captures = captureFields(visit.match)
  const named = namedByConnection(rawHeaders)
  const headers: string[] = client.host === undefined ? [] : ['Host', client.host]
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    const lower = name.toLowerCase()
    if (HOP_BY_HOP.has(lower) || named.has(lower)) continue
    const dashed = lower.includes('_') ? lower.replaceAll('_', '-') : lower
    if (NOT_FROM_CLIENTS.has(dashed) || (captures !== undefined && isCaptureField(dashed))) continue
    headers.push(name, rawHeaders[at + 1] as string)
  }
  headers.push(...(captures ?? []))
  if (wantsTrailers(visit.req)) headers.push('TE', 'trailers')
  addClient(headers, client)
  if (visit.prefix !== undefined) headers.push('X-Forwarded-Prefix', visit.prefix)
  return headers
}

/** Whether the client takes trailers and is told them: some servers (hyper) send none else. That is all of TE that goes on. */
function wantsTrailers({ rawHeaders, httpVersionMinor }: IncomingMessage): boolean {
  const codings = fieldOf(rawHeaders, 'te')?.toLowerCase().split(',')
  return httpVersionMinor > 0 && codings?.some((one) => one.trim() === 'trailers') === true
}

/** The headers of a request for an upstream that gets a `Host` of its own. @param host undefined: as the visitor asked */
export function forHost(headers: string[], host: string | undefined): string[] {
  if (host === undefined) return headers
  // Nothing but `requestHeaders` says it, and it says it first.
  return ['Host', host, ...headers.slice(headers[0] === 'Host' ? 2 : 0)]
}

function addClient(headers: string[], { address, protocol, host, port }: ForwardedClient): void {
  if (address !== undefined) headers.push('X-Forwarded-For', address)
  headers.push('X-Forwarded-Proto', protocol)
  if (host !== undefined) headers.push('X-Forwarded-Host', host)
  if (port !== undefined) headers.push('X-Forwarded-Port', String(port))
  const node = address === undefined ? 'unknown' : address.includes(':') ? `"[${address}]"` : address
  const ofHost = host === undefined ? '' : `;host=${quoted(host)}`
  headers.push('Forwarded', `for=${node};proto=${protocol}${ofHost}`)
}

/** RFC 7239 §4: what is not a token stands in quotes. */
function quoted(value: string): string {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`
}

/** The headers of an answer as its client gets them. @param raw as received: name, value, … */
export function answerHeaders(raw: readonly (Buffer | string)[]): string[] {
  const texts = raw.map((one) => (typeof one === 'string' ? one : one.toString('latin1')))
  const named = namedByConnection(texts)
  const headers: string[] = []
  for (let at = 0; at + 1 < texts.length; at += 2) {
    const name = texts[at] as string
    const lower = name.toLowerCase()
    // How the answer is framed is read, and taken away, by answer-framing.ts.
    const isFraming = lower === 'transfer-encoding' || lower === 'content-length'
    if (!isFraming && (HOP_BY_HOP.has(lower) || named.has(lower))) continue
    headers.push(name, texts[at + 1] as string)
  }
  return headers
}

/** The reason of an answer as its client gets it: undici reads UTF-8 and Node writes latin1, which keeps the bytes as they were; what was no UTF-8 is not known any more. */
export function answerReason(reason = ''): string {
  if (/^[\t -~]*$/.test(reason)) return reason
  return reason.includes('\ufffd') ? '' : Buffer.from(reason).toString('latin1')
}

/** What frames, routes or changes a message must be in its head (RFC 9110 §6.5.1). */
const NEVER_TRAILERS = new Set([
  'content-length',
  'content-encoding',
  'content-type',
  'content-range',
  'host',
  'trailer',
])

/** The trailers of an answer as its client gets them. @param raw as received */
export function answerTrailers(raw: readonly (Buffer | string)[]): string[] {
  return withoutFields(answerHeaders(raw), (name) => NEVER_TRAILERS.has(name) || name === 'transfer-encoding')
}

/** Whether the answer to a request is chunked where its length is not known. */
export function hasChunks({ method, httpVersionMinor }: IncomingMessage, status: number): boolean {
  return httpVersionMinor > 0 && !isBodyless(method, status)
}

/** Trailers go with chunks only; Node refuses a head that announces them otherwise. */
export function withoutTrailer(headers: readonly string[]): readonly string[] {
  return fieldOf(headers, 'trailer') === undefined ? headers : withoutFields(headers, (name) => name === 'trailer')
}
