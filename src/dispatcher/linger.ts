/**
 * Closes a connection so that its client gets the last answer: a socket that is closed while bytes of the client are not
 * read is reset by the kernel, and a client that still sends would lose the answer with it (RFC 9112 §9.6). Where the client has
 * said that a request is its last, and has sent all of that and nothing since, its socket is closed at once, as nginx does.
 *
 * Limit: `LINGER_MS`. Invariant: what comes after the call is dropped unread, and no request of it is looked at.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { connectionOf } from './connection.ts'

/** How long a client that still sends is listened to. */
export const LINGER_MS = 5_000

/** Sends what waits, then drops what the client sends until it ends, or its time is up. */
export function linger(socket: Socket): void {
  if (socket.destroyed) return
  discardInput(socket)
  const late = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('close', () => clearTimeout(late))
  if (socket.readableEnded) socket.destroySoon()
  else socket.once('end', () => socket.destroySoon())
  socket.end()
}

/** From now on what comes is dropped, and no further request is answered. */
export function discardInput(socket: Socket): void {
  const connection = connectionOf(socket)
  if (connection !== undefined) connection.isClosing = true
  dropInput(socket)
}

/** From now on what comes is dropped; the parser gets nothing more. */
export function dropInput(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.removeAllListeners('end')
  // This also takes the socket's handle back from the parser, which otherwise reads by itself.
  socket.on('data', () => {})
  socket.resume()
}

/**
 * To be called before a response that closes its connection is ended: its client may still be sending the request, and what
 * it sends behind that is not looked at.
 */
export function closeAfter(req: IncomingMessage): void {
  const connection = connectionOf(req.socket)
  if (connection !== undefined) connection.isClosing = true
}

/** Makes a socket linger when Node closes it behind its last answer, if its client may still be sending, against its own word. */
export function lingerAtEnd(socket: Socket): void {
  socket.destroySoon = endGently
}

function endGently(this: Socket): void {
  this.destroySoon = (Object.getPrototypeOf(this) as Socket).destroySoon
  const connection = connectionOf(this)
  // TLS has a word of its own for the end, which its client sends then.
  const isOver = connection?.hasSaidAll === true && !connection.isClosing && !connection.peer.encrypted
  if (!isOver) linger(this)
  // What the kernel has it still sends.
  else if (this.writableLength === 0) this.destroy()
  else this.destroySoon()
}
