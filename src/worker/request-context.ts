/**
 * Whose code is running: the site, and the request it works on. Set around everything that calls a site's code, and
 * carried by Node through its timers, promises and callbacks.
 *
 * Events of requests and sockets would lose it, because they start at the channel's socket, which belongs to no site
 * (findings: 'data', 'end' and 'close' of a request ran without a store). So each frame is delivered inside the context
 * of its own request, and every event that follows from it is too.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { findRequestId } from '../core/request-id.ts'
import type { Site } from './site.ts'

/** What the running code belongs to: a site as it loads and for its own timers, or one of its requests. */
export interface Context {
  readonly site: Site
  /** What the request was sent with, as far as it is one: name, value, name, value, … */
  rawHeaders?: readonly string[]
  /** Ends the request, if there is one that still waits for its answer. */
  fail?(): void
  /** Whether its answer has begun. */
  readonly isAnswering?: boolean
}

const storage = new AsyncLocalStorage<Context>()
// Its own: a site that patches the class is not to change what is asked of this one at every request.
const { run, exit, getStore, enterWith, disable } = storage
Object.assign(storage, { run, exit, getStore, enterWith, disable })

/** Runs `work` as code of `context`; what it starts stays in that context. */
export function runIn<A extends unknown[], R>(context: Context, work: (...args: A) => R, ...args: A): R {
  return storage.run(context, work, ...args)
}

/** Runs `work` as vhostel's own code. */
export function runOutside<R>(work: () => R): R {
  return storage.exit(work)
}

/** Whose code is running; undefined for vhostel's own. */
export function currentContext(): Context | undefined {
  return storage.getStore()
}

/** The site whose code is running; undefined for vhostel's own. */
export function currentSite(): Site | undefined {
  return storage.getStore()?.site
}

/** The id of the request whose code is running, where it has one. */
export function currentRequestId(): string | undefined {
  const headers = storage.getStore()?.rawHeaders
  return headers === undefined ? undefined : findRequestId(headers)
}
