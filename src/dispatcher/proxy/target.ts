/**
 * One upstream of a site, with its connections: requests over a pool of undici's, tunnels over a connection each.
 *
 * undici is loaded with the first of them, and only its pool: all of it takes 26 MB, the pool 15.
 * Invariant: what is under way when it is retired goes on; its connections are closed after that.
 */
import { createRequire } from 'node:module'
import { connect, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { buildConnector, Dispatcher, Pool } from 'undici'
import type { ProxySettings, Upstream } from '../../config/site-backend.ts'
import { authorityOf, formatUpstream } from '../../config/site-backend.ts'
import type { Attendance } from './attendance.ts'
import { toSocketOf } from './own-socket.ts'
import { lookAhead, lookupUpstream } from './upstream-lookup.ts'
import type { TlsOptions } from './upstream-tls.ts'
import { tlsOptions } from './upstream-tls.ts'

/** Largest head of an answer, in bytes; with more it fails. */
export const MAX_HEAD_BYTES = 64 * 1024

type PoolClass = new (origin: string, options: Pool.Options) => Pool

type BuildConnector = (options: buildConnector.BuildOptions) => buildConnector.connector
type TcpUpstream = Extract<Upstream, { kind: 'tcp' }>

let poolClass: PoolClass | undefined
let buildConnect: BuildConnector | undefined

function loadFrom(path: string): unknown {
  return createRequire(import.meta.url)(`undici/lib/${path}`)
}

export class Target {
  readonly upstream: Upstream
  /** As in the INI file. */
  readonly label: string
  /** What it gets as `Host`; undefined: what the visitor asked for. */
  readonly host: string | undefined
  /** Undefined where it is spoken to in clear text. */
  readonly tls: TlsOptions | undefined
  /** Requests and tunnels that have a place here. */
  busy = 0
  tunnels = 0
  /** Failures in a row, and why the last. */
  failures = 0
  why = ''
  /** Whether somebody was told that it has no room for as many connections as it gets. */
  isFullTold = false
  /** Whether it ever began an answer. */
  hasAnswered = false
  /** Requests in a row whose answer did not begin in time. */
  timeouts = 0
  /** As `performance.now()`. */
  restUntil = 0
  /** Undefined where nobody wants to know. */
  attendance: Attendance | undefined
  readonly #pool: Pool
  readonly #makePool: () => Pool
  /** Of one request each, until it has ended. */
  readonly #apart = new Set<Pool>()
  readonly #owner: number | undefined
  #onIdle: (() => void) | undefined

  /** @param owner the user whose unix socket it has to be; undefined: whosever it is */
  constructor(upstream: Upstream, settings: ProxySettings, owner?: number) {
    this.upstream = upstream
    this.#owner = owner
    this.label = formatUpstream(upstream)
    const isTcp = upstream.kind === 'tcp'
    const origin = isTcp ? this.label : 'http://localhost'
    this.host = settings.hostHeader === 'visitor' ? undefined : isTcp ? ownHost(upstream) : 'localhost'
    this.tls = isTcp && upstream.isTls ? tlsOptions(upstream.host, settings.tls) : undefined
    const timeout = settings.connectTimeoutMs
    const place = isTcp ? { lookup: lookupUpstream } : { socketPath: upstream.path }
    if (isTcp) lookAhead(upstream.host)
    poolClass ??= loadFrom('dispatcher/pool.js') as PoolClass
    const Pool = poolClass
    const options: Pool.Options = {
      connections: settings.connections,
      pipelining: 1,
      keepAliveTimeout: settings.keepaliveMs,
      maxHeaderSize: MAX_HEAD_BYTES,
      allowH2: false,
      connect:
        this.tls === undefined
          ? { timeout, ...place }
          : tlsConnector({ timeout, ...place, ...this.tls, allowH2: false }),
    }
    if (!isTcp && owner !== undefined) options.connect = ownConnector(owner, upstream.path, timeout)
    this.#makePool = () => new Pool(origin, options)
    this.#pool = this.#makePool()
  }

  /** Opens a connection beside the pool's. Where there is TLS, it is there with `secureConnect`. */
  connect(): Socket {
    const { upstream, tls } = this
    if (upstream.kind === 'unix') return this.#connectTo(upstream.path)
    const { host, port } = upstream
    const place = { host, port, lookup: lookupUpstream }
    return tls === undefined ? connect(place) : connectTls({ ...tls, ...place, ALPNProtocols: ['http/1.1'] })
  }

  /** What cannot be sent is told to the handler too. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#dispatchTo(this.#pool, options, handler)
  }

  /** As `dispatch`, over a connection that is opened for it, and closed after it. */
  dispatchApart(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    const pool = this.#makePool()
    this.#apart.add(pool)
    this.#dispatchTo(pool, { ...options, reset: true }, handler)
    const over = (): void => void this.#apart.delete(pool)
    pool.close().then(over, over)
  }

  /** Nothing has a place here now. */
  idle(): void {
    this.#onIdle?.()
  }

  /** Waits until nothing has a place here, at most `graceMs`. */
  async drained(graceMs: number): Promise<void> {
    if (this.busy + this.tunnels === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const late = setTimeout(resolve, graceMs)
    this.#onIdle = resolve
    await promise
    clearTimeout(late)
  }

  /** Gets no more requests: closes its connections when those that run have ended. */
  retire(): void {
    this.#pool.close().catch(ignoreClosed)
  }

  /** Ends all its connections. */
  destroy(): void {
    for (const pool of [this.#pool, ...this.#apart]) pool.destroy().catch(ignoreClosed)
  }

  #connectTo(path: string): Socket {
    if (this.#owner === undefined) return connect(path)
    try {
      return toSocketOf(this.#owner, path, connect)
    } catch (error) {
      return new Socket().destroy(error as Error)
    }
  }

  #dispatchTo(pool: Pool, options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    pool.dispatch(this.tls === undefined ? options : { ...options, ...OF_ONE_NAME }, handler)
  }
}

/** As it stands in a URL, without the port that goes without saying. */
function ownHost(upstream: TcpUpstream): string {
  return authorityOf(upstream).replace(upstream.isTls ? /:443$/ : /:80$/, '')
}

/**
 * Connects with the name that the settings say. undici would take it from each request's `Host`: then visitors would say it, and
 * a connection would be closed when a request for another host comes.
 */
function tlsConnector(options: buildConnector.BuildOptions & TlsOptions): buildConnector.connector {
  buildConnect ??= loadFrom('core/connect.js') as BuildConnector
  const connectTo = buildConnect(options)
  return (wanted, done) => connectTo({ ...wanted, servername: options.servername }, done)
}

/** Connects to a socket of this user's and to no other. */
function ownConnector(owner: number, path: string, timeout: number): buildConnector.connector {
  return (wanted, done) => {
    buildConnect ??= loadFrom('core/connect.js') as BuildConnector
    const build = buildConnect
    try {
      toSocketOf(owner, path, (socketPath) => build({ timeout, socketPath })(wanted, done))
    } catch (error) {
      process.nextTick(done, error, null)
    }
  }
}

/** The name by which undici tells connections apart; not declared, but taken. */
const OF_ONE_NAME = { servername: 'upstream' }

/** It was closed before. */
function ignoreClosed(): void {}
