/**
 * What the access log says of requests that Node's parser refuses, so that there is none to be handled. Pure.
 *
 * Limit: of what the client sent, the line has a request line if it is one; never a part of a body.
 */
import type { Socket } from 'node:net'
import type { AccessEntry } from './access-format.ts'
import { connectionOf } from './connection.ts'

/** What Node says of such a request. */
interface RefusedError extends Error {
  code?: string
  /** The bytes that were read last. */
  rawPacket?: Buffer
}

const REQUEST_LINE = /^([A-Z]{1,20}) ([\x21-\xff]{1,8192}) HTTP\/(\d\.\d)\r?\n/
/** Bytes of a packet that are looked at for it. */
const MAX_LINE = 8 * 1024 + 64

/** The line for what was refused with this status. */
export function refusedEntry(
  error: RefusedError,
  socket: Socket & { getProtocol?: () => string | null },
  status: number,
): AccessEntry {
  const [method, target, httpVersion] = requestLine(error.rawPacket)
  return {
    time: Date.now(),
    client: connectionOf(socket)?.peer.address ?? socket.remoteAddress ?? '',
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
