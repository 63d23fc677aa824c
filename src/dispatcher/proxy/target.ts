/**
 * One upstream of a site, with its connections: requests over a pool of undici's, tunnels over a connection each.
 *
 * undici is loaded with the first of them, and only its pool: all of it takes 26 MB, the pool 15.
 * Invariant: what is under way when it is retired goes on; its connections are closed after that.
 */
import { createRequire } from 'node:module'
import type { Dispatcher, Pool } from 'undici'
import type { ProxySettings, Upstream } from '../../config/site-backend.ts'
import { formatUpstream } from '../../config/site-backend.ts'

/** Largest head of an answer, in bytes; with more it fails. */
const MAX_HEAD_BYTES = 64 * 1024

type PoolClass = new (origin: string, options: Pool.Options) => Pool

let poolClass: PoolClass | undefined

function loadPool(): PoolClass {
  poolClass ??= createRequire(import.meta.url)('undici/lib/dispatcher/pool.js') as PoolClass
  return poolClass
}

export class Target {
  readonly upstream: Upstream
  /** As in the INI file. */
  readonly label: string
  /** Requests and tunnels that have a place here. */
  busy = 0
  tunnels = 0
  /** Failures in a row, and why the last. */
  failures = 0
  why = ''
  /** As `performance.now()`. */
  restUntil = 0
  readonly #pool: Pool
  #onIdle: (() => void) | undefined

  constructor(upstream: Upstream, settings: ProxySettings) {
    this.upstream = upstream
    this.label = formatUpstream(upstream)
    const origin = upstream.kind === 'tcp' ? this.label : 'http://localhost'
    this.#pool = new (loadPool())(origin, {
      connections: settings.connections,
      pipelining: 1,
      keepAliveTimeout: settings.keepaliveMs,
      maxHeaderSize: MAX_HEAD_BYTES,
      allowH2: false,
      connect: {
        timeout: settings.connectTimeoutMs,
        ...(upstream.kind === 'unix' ? { socketPath: upstream.path } : {}),
      },
    })
  }

  /** Where a connection of its own goes, as `http.request` takes it. */
  get address(): { socketPath: string } | { host: string; port: number } {
    const { upstream } = this
    return upstream.kind === 'unix' ? { socketPath: upstream.path } : { host: upstream.host, port: upstream.port }
  }

  /** What cannot be sent is told to the handler too. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(options, handler)
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
    this.#pool.destroy().catch(ignoreClosed)
  }
}

/** It was closed before. */
function ignoreClosed(): void {}
