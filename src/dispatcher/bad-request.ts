/**
 * Answers what Node's parser refuses: the exact status, in the turn of the requests before it on the same connection, and
 * then the connection is closed.
 *
 * Invariant: an answer to bytes that are no request never takes the place of one to a request, and nothing that follows
 * such bytes is taken for a request.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { ErrorPages } from '../config/error-pages.ts'
import { pageOf } from '../config/error-pages.ts'
import { STATUS_CODES } from '../core/node-http.ts'
import type { AccessEntry } from './access-format.ts'
import type { Connection } from './connection.ts'
import { connectionOf } from './connection.ts'
import { errorPage } from './error-page.ts'
import type { FrontResponse } from './front-response.ts'
import { closeAfter, discardInput, linger } from './linger.ts'
import { refusedEntry } from './refused-requests.ts'
import { sendError } from './send-error.ts'
import type { TurnedAway } from './turned-away.ts'

const LATE_HEAD = 'ERR_HTTP_REQUEST_TIMEOUT'

/** What the parser says with an error. */
export type ParseError = Error & { code?: string; rawPacket?: Buffer }

/** What is done about what is no request, beside its answer. */
export interface Refusals {
  /** Hears of an answer. */
  told(entry: AccessEntry): void
  /** Hears of a connection that is not taken. */
  turnedAway(...what: Parameters<TurnedAway['write']>): void
  /** The server's own pages. */
  readonly pages: ErrorPages | undefined
}

/** What Node says of a head whose rest does not come. */
export function lateHead(): ParseError {
  return Object.assign(new Error('the head of the request did not come in time'), { code: LATE_HEAD })
}

/** Ends a connection on which something else than a request came, or not in time. */
export function refuseConnection(error: ParseError, socket: Socket, refusals: Refusals): void {
  const connection = connectionOf(socket)
  if (connection === undefined || socket.destroyed || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  if (connection.isClosing) return
  const { pipeline } = connection
  if (pipeline?.isEmpty === false) return pipeline.refuseLater(() => refuseConnection(error, socket, refusals))
  const { req, res } = connection
  if (req === undefined || res === undefined || res.writableFinished) return refuseNow(connection, error, refusals)
  if (req.complete) refuseInTurn(connection, res, error, refusals)
  else refuseBody(connection, req, res, error)
}

/** The status for what the parser met. */
function statusOf({ code, message }: ParseError): number {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return 431
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 413
    case LATE_HEAD:
      return 408
    case 'HPE_PAUSED_H2_UPGRADE': // the first bytes of HTTP/2
      return 505
    case 'HPE_INVALID_VERSION':
      return message.includes('Invalid HTTP version') ? 505 : 400
    default:
      return 400
  }
}

/** No request is open: the answer can go at once. */
function refuseNow({ socket }: Connection, error: ParseError, refusals: Refusals): void {
  const isSilent = error.code === LATE_HEAD && socket.bytesRead === 0
  if (isSilent || error.code === 'HPE_CLOSED_CONNECTION' || !socket.writable) {
    socket.destroy()
    return
  }
  answer(socket, error, refusals)
  linger(socket)
}

function answer(socket: Socket, error: ParseError, refusals: Refusals): void {
  const status = statusOf(error)
  socket.write(answerOf(status, refusals.pages))
  refusals.told(refusedEntry(error, socket, status))
}

/** A request before it waits for its answer; that has to come first. */
function refuseInTurn(connection: Connection, res: FrontResponse, error: ParseError, refusals: Refusals): void {
  const { socket } = connection
  discardInput(socket)
  // The client itself has said that nothing follows, so what followed gets no answer.
  const isUnannounced = error.code === 'HPE_CLOSED_CONNECTION' || !res.shouldKeepAlive
  if (isUnannounced && res.req !== undefined) return closeAfter(res.req)
  res.once('finish', () => {
    if (socket.writable) answer(socket, error, refusals)
    linger(socket)
  })
}

/** The body of a request that is being worked on ends in nonsense. */
function refuseBody({ socket }: Connection, req: IncomingMessage, res: FrontResponse, error: ParseError): void {
  if (!res.headersSent) {
    sendError(req, res, { statusCode: statusOf(error), closes: true })
  } else if (res.isEnded) {
    closeAfter(req)
    res.once('finish', () => socket.destroySoon())
  } else {
    socket.destroy()
  }
}

function answerOf(status: number, pages: ErrorPages | undefined): string {
  const { type, body } = pageOf(pages, status) ?? errorPage(status)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
