/**
 * Listens on a unix socket that only its owner may use, deals with what an earlier server left behind, and makes the socket
 * again when somebody takes it away: what cleans up folders (tmpreaper, `rsync --delete`, `git clean`) knows nothing of servers.
 *
 * Limits: that it is gone is noticed within `LOOK_EVERY_MS`; when the server is closed, connections that came over a socket that was
 * made again are not waited for. Invariant: what is no socket, and a socket on which somebody answers, is never taken away.
 */
import { chmodSync, lstatSync, mkdirSync, statSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { AddressInUse } from './errors.ts'
import { listening } from './listening.ts'
import { probe } from './probe.ts'
import { checkSocketPath } from './socket-path.ts'

const PROBE_TIMEOUT_MS = 1_000
const LOOK_EVERY_MS = 2_000

/** How a socket is kept. */
export interface UnixOptions {
  /** Permissions of the socket file. @default 0600 */
  mode?: number
  /** Called when the socket was gone and is there again. */
  onRestored?: () => void
}

/**
 * Makes `server` listen on `path`, and keeps the socket there until the server is closed. A socket file that nobody answers on is
 * replaced.
 *
 * @throws VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_ADDRESS_IN_USE, or what the file system says
 */
export async function listenUnix(server: Server, path: string, options: UnixOptions = {}): Promise<void> {
  checkSocketPath(path)
  try {
    await listen(server, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (!(await isLeftOver(path))) throw new AddressInUse(`unix:${path}`)
    unlinkSync(path)
    await listen(server, path)
  }
  chmodSync(path, options.mode ?? 0o600)
  new KeptSocket(server, path, options.onRestored).watch()
}

/** Whether a socket is there and nobody answers on it. To connect to another file, which may be somebody's data, is refused too. */
async function isLeftOver(path: string): Promise<boolean> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false
  return (await probe({ path }, PROBE_TIMEOUT_MS)) === 'refused'
}

/** Permissions of the socket and of its folder, which may have been changed since they were made. */
interface Modes {
  socket: number
  folder: number
}

/** The socket file of one server. */
class KeptSocket {
  readonly #server: Server
  readonly #path: string
  readonly #onRestored: () => void
  #modes: Modes | undefined
  /** Listens where the server itself cannot any more, and passes all on to it. */
  #standIn: Server | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(server: Server, path: string, onRestored = (): void => {}) {
    this.#server = server
    this.#path = path
    this.#onRestored = onRestored
    this.#modes = modesOf(path)
  }

  watch(): void {
    this.#server.once('close', () => this.#end())
    this.#lookLater()
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => {
      this.#look()
        // A full disk, or a folder that is closed to us: it is tried again.
        .catch(() => {})
        .finally(() => {
          if (this.#server.listening) this.#lookLater()
          else this.#end()
        })
    }, LOOK_EVERY_MS).unref()
  }

  async #look(): Promise<void> {
    const now = modesOf(this.#path)
    if (now !== undefined || this.#modes === undefined || !this.#server.listening) {
      this.#modes = now ?? this.#modes
      return
    }
    await this.#restore(this.#modes)
    this.#onRestored()
  }

  async #restore({ socket, folder }: Modes): Promise<void> {
    // Before there is another one: what closes takes the file of its name away.
    this.#standIn?.close()
    const made = mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
    if (made !== undefined) chmodSync(dirname(this.#path), folder)
    const { allowHalfOpen } = this.#server as Server & { allowHalfOpen?: boolean }
    const standIn = createServer({ allowHalfOpen: allowHalfOpen === true }, (connection) => {
      if (this.#server.listening) this.#server.emit('connection', connection)
      else connection.destroy()
    })
    this.#standIn = standIn.on('error', () => {}).unref()
    await listen(standIn, this.#path)
    chmodSync(this.#path, socket)
  }

  #end(): void {
    clearTimeout(this.#timer)
    this.#standIn?.close()
  }
}

/** Undefined where there is nothing; what cannot be looked at is there. */
function modesOf(path: string): Modes | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return undefined
    return { socket: stats.mode & 0o777, folder: statSync(dirname(path)).mode & 0o777 }
  } catch {
    return { socket: 0o600, folder: 0o700 }
  }
}

function listen(server: Server, path: string): Promise<void> {
  return listening(server, (done) => server.listen({ path, exclusive: true }, done))
}
