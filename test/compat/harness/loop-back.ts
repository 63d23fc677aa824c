/**
 * Closes the loop of a hosted run: tests and the servers they open are in one thread, and every request between the two
 * goes out of it over a real socket, through vhostel's front, and comes back.
 *
 * The site is one server, which vhostel captured; the tests' servers are captured too, and found by the port that each
 * was given. A connection to such a port is made to the front's instead; its own port tells, when the request comes
 * back, which server was meant, because tests put all kinds of names into Host.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server as NetServer, Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Marks the requests of the one who started the run. */
export const PROGRESS_HEADER = 'x-compat-progress'

/** The servers that listen, by the port that `address()` names. */
const servers = new Map<number, Server>()
/** Which server the connection from a local port is for. Never shrinks: as many as there are ports. */
const targets = new Map<number, number>()

/** Notes each server that listens from now on. @param main the site's own, which is not one of the tests' */
function noteServers(main: Server): void {
  const listen = NetServer.prototype.listen as (...args: unknown[]) => NetServer
  NetServer.prototype.listen = function (this: NetServer, ...args: unknown[]) {
    listen.apply(this, args)
    const address = this.address()
    if (this instanceof Server && this !== main && typeof address === 'object' && address !== null) {
      note(this, address)
    }
    return this
  } as typeof NetServer.prototype.listen
}

function note(server: Server, address: AddressInfo): void {
  servers.set(address.port, server)
  server.once('close', () => servers.delete(address.port))
  // The front's address, which clients really come to, is of IPv4; tests compare it with the client's.
  const seen = { ...address, address: '127.0.0.1', family: 'IPv4' }
  server.address = () => (server.listening ? seen : null)
}

/** Sends connections to the tests' servers to the front. */
function turnConnections(frontPort: number): void {
  const connect = Socket.prototype.connect as (...args: unknown[]) => Socket
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    const port = wantedPort(args)
    if (port === undefined || !servers.has(port)) return connect.apply(this, args)
    this.prependOnceListener('connect', () => targets.set(this.localPort ?? 0, port))
    return connect.apply(this, turnedArguments(args, frontPort))
  } as typeof Socket.prototype.connect
}

/** `connect` gets either what the caller said, or that as an array which `net.connect` has made ready. */
function wantedPort(args: unknown[]): number | undefined {
  const [first] = Array.isArray(args[0]) ? args[0] : args
  const port = typeof first === 'object' && first !== null ? (first as { port?: unknown }).port : first
  return Number.isInteger(Number(port)) ? Number(port) : undefined
}

function turnedArguments(args: unknown[], frontPort: number): unknown[] {
  const to = { host: '127.0.0.1', port: frontPort }
  if (Array.isArray(args[0])) {
    // Node marks the array by a symbol of its own, so it is this one that has to go on.
    args[0][0] = { ...args[0][0], ...to }
    return args
  }
  if (typeof args[0] === 'object') return [{ ...args[0], ...to }, ...args.slice(1)]
  return [to, ...args.filter((arg) => typeof arg === 'function')]
}

function targetOf(request: IncomingMessage): Server | undefined {
  // The one who asks may have a local port that a test's connection had before.
  if (PROGRESS_HEADER in request.headers) return undefined
  return servers.get(targets.get(request.socket.remotePort ?? 0) ?? 0)
}

/**
 * Opens the site's own server and closes the loop.
 *
 * @param onStranger answers a request that no test has made
 */
export function closeLoop(frontPort: number, onStranger: (response: ServerResponse) => void): void {
  const main = createServer()
  for (const event of ['request', 'checkContinue', 'checkExpectation']) {
    main.on(event, (request: IncomingMessage, response: ServerResponse) => {
      const target = targetOf(request)
      if (target === undefined) return onStranger(response)
      if (target.listenerCount(event) > 0) target.emit(event, request, response)
      else if (event === 'checkExpectation') response.writeHead(417).end()
      else {
        if (event === 'checkContinue') response.writeContinue()
        target.emit('request', request, response)
      }
    })
  }
  for (const event of ['upgrade', 'connect']) {
    main.on(event, (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (!targetOf(request)?.emit(event, request, socket, head)) socket.destroy()
    })
  }
  noteServers(main)
  turnConnections(frontPort)
  main.listen(80)
}
