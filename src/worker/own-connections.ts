/**
 * A site that connects to a server of its own (`fetch('http://localhost:3000/api')`) reaches it, although no port is open.
 *
 * The connection goes to a socket on loopback that is opened at the first of them, and that takes no other: an accepted
 * connection counts only if its other end is a socket that was sent there from here. What comes of it is Node's own: a real
 * socket, emitted as 'connection' by the server, whatever protocol that speaks. Such requests do not pass the pool, so a
 * site that waits for itself does not wait for a free place.
 *
 * Limits: only connections from the thread in which the server was opened. One request of HTTP for each connection:
 * a client that all sites of a thread share (`fetch`) keeps connections by host and port, and what is
 * `localhost:3000` to one site is another server to its neighbour. Invariant: nobody but the site's own code in this thread gets in.
 */
import type { Server as HttpServer } from 'node:http'
import type { Socket } from 'node:net'
import * as net from 'node:net'
import type { Target } from './listen-arguments.ts'
import { runIn } from './request-context.ts'
import type { Site } from './site.ts'

/** IPv4: every kernel has it (inherited-sockets.ts met some without IPv6). */
const LOOPBACK = '127.0.0.1'
const BACKLOG = 511

/** What Node keeps on servers and sockets to count connections, and its legacy name for "bind now". */
interface ServerInternals extends net.Server {
  _connections: number
  _listen2(address: string, port: number, addressType: 4 | 6, backlog: number): void
}

interface SocketInternals extends Socket {
  _handle: { getsockname?(out: object): number } | null
  /** What 'close' of the socket is counted for. */
  _server: net.Server
  server: net.Server
}

/** Options of a connection; a pipe's have a path. */
type ConnectOptions = Partial<net.TcpNetConnectOpts> & { path?: string | null }
/** Node's own form of the arguments of `connect`, which `connect` itself takes as well. */
type NormalArguments = [options: ConnectOptions, callback: unknown]

/** Both as they are before `listen` is taken over for sites: this file is imported first. */
const bind = (net.Server.prototype as ServerInternals)._listen2
const normalize = (net as unknown as { _normalizeArgs(args: unknown[]): NormalArguments })._normalizeArgs

/**
 * Takes over `connect` for the code of sites. Once a thread.
 *
 * @param find the entrance of the server that the running code would reach at this place; undefined for any other target
 */
export function installOwnConnections(find: (target: Target) => Entrance | undefined): void {
  const original = net.Socket.prototype.connect as (this: Socket, ...args: unknown[]) => Socket
  const replacement = function (this: Socket, ...args: unknown[]): Socket {
    const normal = Array.isArray(args[0]) ? (args[0] as NormalArguments) : normalize(args)
    const [options] = normal
    // `http` says null for what it has not.
    const entrance = find({ host: options.host ?? undefined, port: options.port, path: options.path || undefined })
    if (entrance === undefined) return original.apply(this, args)
    const { path: _, ...others } = options
    // In place: Node knows the list by a symbol of its own on it.
    normal[0] = { ...others, host: LOOPBACK, port: entrance.open(this) }
    return original.call(this, normal)
  }
  Object.defineProperty(net.Socket.prototype, 'connect', { value: replacement, configurable: true, writable: true })
}

/** The way in to one server of a site, for the site itself. */
export class Entrance {
  readonly #server: net.Server
  readonly #site: Site
  readonly #isHttp: boolean
  /** Sockets of the site that are on their way here. */
  readonly #coming = new Set<Socket>()
  #acceptor: net.Server | undefined

  constructor(server: net.Server, site: Site, isHttp: boolean) {
    this.#server = server
    this.#site = site
    this.#isHttp = isHttp
  }

  /**
   * @param client is about to connect
   * @returns the port to connect to
   * @throws Error where the kernel gives no socket (EMFILE)
   */
  open(client: Socket): number {
    this.#acceptor ??= this.#listen()
    this.#coming.add(client)
    client.once('close', () => this.#coming.delete(client))
    return (this.#acceptor.address() as net.AddressInfo).port
  }

  /** The server is closed: nothing more comes in. What is connected goes on, as with any server. */
  close(): void {
    this.#acceptor?.close()
    this.#acceptor = undefined
  }

  #listen(): net.Server {
    const { allowHalfOpen, pauseOnConnect } = this.#server as unknown as net.ServerOpts
    const acceptor = net.createServer({ allowHalfOpen, pauseOnConnect, noDelay: true })
    let failure: Error | undefined
    acceptor.on('error', (error) => {
      failure = error
    })
    acceptor.on('connection', (socket) => this.#accept(socket, acceptor as ServerInternals))
    // In the site's context, which the kernel's callbacks then have.
    runIn(this.#site, () => bind.call(acceptor as ServerInternals, LOOPBACK, 0, 4, BACKLOG))
    if (acceptor.address() === null)
      throw failure ?? new Error(`no socket on ${LOOPBACK} for a server of the site itself`)
    acceptor.unref()
    return acceptor
  }

  #accept(socket: Socket, acceptor: ServerInternals): void {
    const client = [...this.#coming].find((it) => localPortOf(it) === socket.remotePort)
    if (client === undefined || socket.remoteAddress !== LOOPBACK) {
      socket.destroy()
      return
    }
    this.#coming.delete(client)
    const server = this.#server as ServerInternals
    acceptor._connections--
    server._connections++
    Object.assign(socket as SocketInternals, { server, _server: server })
    if (this.#isHttp) (server as unknown as HttpServer).maxRequestsPerSocket = 1
    this.#site.addOwnSocket(socket)
    server.emit('connection', socket)
  }
}

/** The kernel's word: `localPort` would be kept, also of a socket that has none yet. */
function localPortOf(socket: Socket): number | undefined {
  const out: { port?: number } = {}
  ;(socket as SocketInternals)._handle?.getsockname?.(out)
  return out.port
}
