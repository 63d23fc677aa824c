/**
 * Listens on a unix socket that only its owner may use, and deals with what an earlier server left behind.
 *
 * Invariant: a socket on which somebody answers is never taken away.
 */
import { chmodSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { connect } from 'node:net'
import { AddressInUse } from './errors.ts'
import { listening } from './listening.ts'
import { checkSocketPath } from './socket-path.ts'

const PROBE_TIMEOUT_MS = 1_000

/**
 * Makes `server` listen on `path`; a socket file that nobody answers on is replaced.
 *
 * @param mode permissions of the socket file, 0600 unless said otherwise
 * @throws VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_ADDRESS_IN_USE, or what the file system says
 */
export async function listenUnix(server: Server, path: string, mode = 0o600): Promise<void> {
  checkSocketPath(path)
  try {
    await listen(server, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (await isAnswered(path)) throw new AddressInUse(`unix:${path}`)
    unlinkSync(path)
    await listen(server, path)
  }
  chmodSync(path, mode)
}

function listen(server: Server, path: string): Promise<void> {
  return listening(server, (done) => server.listen({ path, exclusive: true }, done))
}

/** Whether a process accepts connections on a unix socket. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const done = (answered: boolean): void => {
      socket.destroy()
      resolve(answered)
    }
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(true))
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
  })
}
