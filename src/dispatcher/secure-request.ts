/**
 * What TLS means for a request before any site is asked: whether its connection may be used for its host at all, and the
 * challenges of ACME, which come in clear text.
 */
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Certificates, CertifiedSite } from './certificates.ts'
import { HTTP_CHALLENGE_PATH } from './certificates.ts'
import type { FrontResponse } from './front-response.ts'
import { StreamSocket } from './stream-socket.ts'

/** Whether a request came over TLS, to this very server. */
function isEncrypted(req: IncomingMessage): boolean {
  return (req.socket as Partial<TLSSocket>).encrypted === true
}

/** Whether this connection is one on which the host may be answered (RFC 9110 §7.4); always so in clear text. */
export function isReachable(
  req: IncomingMessage,
  host: string,
  site: CertifiedSite,
  certificates: Certificates,
): boolean {
  if (!isEncrypted(req)) return true
  const { servername } = req.socket as TLSSocket
  const name = typeof servername === 'string' ? servername : unnamedHost(req.socket, host)
  return certificates.covers(name, host, site)
}

/** The host of the first request on connections that do not say for which they were made. */
const firstHosts = new WeakMap<object, string>()

/**
 * A session of TLS 1.2 that is taken up again has no name (OpenSSL keeps it with the session only where the server confirmed it,
 * which Node does not): it is for the host that is asked for first, since clients keep sessions by host.
 *
 * @returns '' for a client that named none
 */
function unnamedHost(socket: object, host: string): string {
  const connection = socket instanceof StreamSocket ? socket.connection : (socket as TLSSocket)
  if (!connection.isSessionReused() || connection.getProtocol() !== 'TLSv1.2') return ''
  const first = firstHosts.get(connection) ?? host
  firstHosts.set(connection, first)
  return first
}

/** Answers a request for a challenge that is open (RFC 8555 §8.3), whatever site its host belongs to. @returns whether it was one */
export function answerChallenge(req: IncomingMessage, res: FrontResponse, certificates: Certificates): boolean {
  const { url } = req
  if (url === undefined || !url.startsWith(HTTP_CHALLENGE_PATH) || isEncrypted(req)) return false
  const answer = certificates.httpChallenges.get(url.slice(HTTP_CHALLENGE_PATH.length))
  if (answer === undefined) return false
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': Buffer.byteLength(answer) })
  res.end(req.method === 'HEAD' ? undefined : answer)
  return true
}
