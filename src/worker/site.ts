/**
 * One generation of one site in this thread: what its code sees as its own (environment, working directory, arguments,
 * signal handlers), the servers it has opened, and what answers its requests.
 *
 * The loader creates it and closes it; code of the site finds it by its context (request-context.ts). Invariant: `app`
 * is set exactly while the site is live or stopping.
 */
import { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { IdTable } from '../core/id-table.ts'
import type { Channel } from '../protocol/channel.ts'
import type { LoadOrder, LogLevel, ModuleType } from '../protocol/frames.ts'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import type { SiteFiles } from './file-trace.ts'
import { traceSite } from './file-trace.ts'
import type { Context } from './request-context.ts'
import { runIn, runOutside } from './request-context.ts'
import { createSiteEnv } from './site-env.ts'
import { LineBuffer, SiteLog } from './site-log.ts'

export type Shape = Exclude<ModuleType, 'auto'>

/** How long a site may be without a server, in ms: some close theirs and open another. */
const OVER_AFTER_MS = 1_000

/** What answers a site's requests. */
export interface SiteApp {
  readonly shape: Shape
  /** Makes the exchange for a request; its `start` calls the site's code. */
  open(site: Site, wire: Wire, frame: RequestFrame): Exchange
  /** Whether it answers only while a server of the site listens. */
  readonly needsServer?: boolean
  /** Lets the site's framework and servers close. May take for ever: the caller has a deadline. */
  close(): Promise<void>
}

/** `loading` until its report is sent; `live`; `stopping` while it closes; `stopped`. */
export type SiteState = 'loading' | 'live' | 'stopping' | 'stopped'

/** A server that the site has opened (listen-adapter.ts). */
export interface ListeningServer {
  readonly server: Server
  /** The port it asked for; undefined for a path or a handle. */
  readonly port: number | undefined
  close(callback?: (error?: Error) => void): void
}

export class Site implements Context {
  readonly site = this
  readonly order: LoadOrder
  readonly log: SiteLog
  readonly stdout: LineBuffer
  readonly stderr: LineBuffer
  /** What the site's code sees as `process.env`. */
  env: NodeJS.ProcessEnv
  /** What the site's code sees as `process.cwd()`. */
  cwd: string
  /** What the site's code sees as `process.argv`. */
  argv: string[]
  /** Listeners the site has put on `process` for what is its own: signals, exit, uncaught errors. */
  readonly processEvents = new EventEmitter()
  /** Servers that listen, as far as the site can tell; in the order in which it opened them. */
  readonly servers: ListeningServer[] = []
  /** Emits 'server' for each server the site has opened, once it listens. */
  readonly changes = new EventEmitter()
  readonly files: SiteFiles
  app: SiteApp | undefined
  state: SiteState = 'loading'
  /** Whether its module has run to its end. */
  isEvaluated = false
  /** A program of Node that its code has started: what listens there is not seen. Absolute, or as its code named it. */
  startedScript: string | undefined
  /** Resolves when its code has called `process.exit` while it was told to stop. */
  readonly exited: Promise<void>
  /** To be called when it does so. */
  readonly exits: () => void
  /** Resolves when a newer version of its code is there than the one that is being loaded. */
  readonly outdated: Promise<void>
  /** To be called when that is so. */
  readonly outdates: () => void
  /** Called with what nothing in the site caught while it was loading. */
  onLoadCrash: ((error: unknown) => void) | undefined
  /** Gets what nothing in the site caught, in place of its listeners on `process`. */
  captureError: ((error: Error) => void) | undefined
  /** The site's requests that are under way. */
  readonly open = new IdTable<Exchange>()
  /** Connections of the site to servers of its own (own-connections.ts). */
  readonly #ownSockets = new Set<Socket>()
  readonly #channel: Channel
  #hasNative = false
  #idleWaiters: (() => void)[] = []

  constructor(order: LoadOrder, channel: Channel) {
    this.order = order
    this.#channel = channel
    this.log = new SiteLog(channel, order.generation)
    this.stdout = new LineBuffer((level, text) => this.log.write(level, text))
    this.stderr = new LineBuffer((level, text) => this.log.write(level, text))
    this.env = createSiteEnv(order.env)
    this.cwd = order.root
    this.files = traceSite(order)
    this.argv = [process.execPath, order.module, ...order.args]
    const { promise, resolve } = Promise.withResolvers<void>()
    this.exited = promise
    this.exits = resolve
    const { promise: outdated, resolve: outdates } = Promise.withResolvers<void>()
    this.outdated = outdated
    this.outdates = outdates
    this.processEvents.setMaxListeners(0)
    this.changes.setMaxListeners(0)
  }

  get generation(): number {
    return this.order.generation
  }

  get name(): string {
    return this.order.site
  }

  /** The server that is the site: the one on the port that was said (`http_port =`), else the first. */
  get mainServer(): ListeningServer | undefined {
    const { httpPort } = this.order
    if (httpPort === undefined) return this.servers[0]
    return this.servers.find((server) => server.port === httpPort)
  }

  /** A request of the site is over. */
  leave(exchange: Exchange): void {
    this.open.delete(exchange.id)
    if (this.open.size > 0 || this.#idleWaiters.length === 0) return
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const waiter of waiters) runIn(this, waiter)
  }

  /** Closes the connections of all requests that are under way. */
  cutOpen(): void {
    for (const exchange of this.open.values()) runIn(exchange, () => exchange.cut())
    for (const socket of this.#ownSockets) socket.destroy()
  }

  /** A connection that a server of the site got from the site itself. */
  addOwnSocket(socket: Socket): void {
    this.#ownSockets.add(socket)
    socket.once('close', () => this.#ownSockets.delete(socket))
  }

  /** Calls back, as code of the site, as soon as no request of it is under way. */
  whenIdle(callback: () => void): void {
    if (this.open.size === 0) callback()
    else this.#idleWaiters.push(callback)
  }

  /** One of its servers was closed: where none is left to answer, and it opens no other soon, the site is over. */
  closedServer(): void {
    if (!this.#isClosed()) return
    const tell = (): void => {
      if (this.#isClosed()) this.#channel.send({ type: 'unloaded', id: this.generation })
    }
    runOutside(() => setTimeout(tell, OVER_AFTER_MS).unref())
  }

  #isClosed(): boolean {
    return this.state === 'live' && this.app?.needsServer === true && this.mainServer === undefined
  }

  /** Its code is about to load native code. */
  loadsNative(): void {
    if (this.#hasNative) return
    this.#hasNative = true
    this.#channel.send({ type: 'native', id: this.generation })
    this.#channel.flush()
  }

  /** Takes what the site wrote to its standard output or error: text, or bytes of UTF-8. */
  write(stream: 'stdout' | 'stderr', level: LogLevel, written: string | Uint8Array): void {
    this[stream].write(level, written)
  }
}
