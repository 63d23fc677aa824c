/**
 * Requests that Node's parser refuses, so that there is none to be handled: answered as Node itself does, and told to the
 * access log.
 *
 * Limit: of what the client sent, the line has a request line if it is one; never a part of a body.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { STATUS_CODES } from '../core/node-http.ts'
import type { AccessEntry } from './access-format.ts'
import type { FrontResponse } from './front-response.ts'

/** What Node says of such a request. */
interface RefusedError extends Error {
  code?: string
  /** The bytes that were read last. */
  rawPacket?: Buffer
}

/** As Node's own handler; everything else is 400. */
const STATUSES: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}
const REQUEST_LINE = /^([A-Z]{1,20}) ([\x21-\xff]{1,8192}) HTTP\/(\d\.\d)\r?\n/
/** Bytes of a packet that are looked at for it. */
const MAX_LINE = 8 * 1024 + 64

/** Connections that were ended for what came over them, while a request of theirs was without an answer. */
const refused = new WeakMap<Duplex, number>()

/** The status that a connection was ended with before the answer to its last request; undefined where it was not. */
export function refusedStatus(socket: Duplex): number | undefined {
  return refused.get(socket)
}

/** Answers what `server` cannot read. @param onRefused hears of those that no other line tells of */
export function answerRefused(server: Server, onRefused: (entry: AccessEntry) => void): void {
  server.on('clientError', (error: RefusedError, socket: Duplex) => {
    const status = STATUSES[error.code ?? ''] ?? 400
    // As Node's handler does: the answer that is under way, if there is one, must not be broken into.
    const open = (socket as Duplex & { _httpMessage?: FrontResponse | null })._httpMessage
    const mayAnswer = socket.writable && error.code !== 'ECONNRESET' && !open?.headersSent
    if (mayAnswer) {
      if (open) refused.set(socket, status)
      else onRefused(entryOf(error, socket as Socket, status))
      socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`)
    }
    socket.destroy(error)
  })
}

function entryOf(
  error: RefusedError,
  socket: Socket & { getProtocol?: () => string | null },
  status: number,
): AccessEntry {
  const [method, target, httpVersion] = requestLine(error.rawPacket)
  return {
    time: Date.now(),
    client: socket.remoteAddress ?? '',
    site: '',
    host: '',
    port: socket.localPort ?? 0,
    method,
    target,
    httpVersion,
    status,
    bytes: 0,
    firstByteMs: undefined,
    totalMs: 0,
    queueMs: undefined,
    process: undefined,
    thread: undefined,
    cache: '',
    id: '',
    referer: '',
    userAgent: '',
    tls: socket.getProtocol?.() ?? '',
    isCut: false,
    reason: error.code ?? '',
  }
}

/** Only where the packet has nothing but that one request: else it is not known which was refused. */
function requestLine(packet: Buffer | undefined): [string, string, string] {
  const text = packet?.toString('latin1', 0, MAX_LINE) ?? ''
  const found = REQUEST_LINE.exec(text)
  const end = packet?.indexOf('\r\n\r\n') ?? -1
  const isAlone = packet !== undefined && (end === -1 || packet.indexOf(' HTTP/1.', end) === -1)
  return found === null || !isAlone ? ['', '', ''] : [found[1] ?? '', found[2] ?? '', found[3] ?? '']
}
