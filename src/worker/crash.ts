/**
 * What happens with an error that a site's code did not catch: the site's own handlers on `process` hear of it, or it is
 * logged for that site; the request it belongs to is ended; the thread goes on.
 *
 * A site that hears of its errors goes on after them in a process of its own, and so does the request here, unless it was
 * its handler that failed. Limit: one that is not being answered `UNANSWERED_MS` later is ended, as nobody will.
 */
import type { Context } from './request-context.ts'
import { runIn, runOutside } from './request-context.ts'
import { showError } from './show-error.ts'
import type { Site } from './site.ts'

/** Thrown by `process.exit` in a site's code, so that it stops there. Not for a site to catch. */
export class SiteExit extends Error {
  readonly #code: number

  constructor(exitCode: number) {
    super(`site called process.exit(${exitCode})`)
    this.name = 'SiteExit'
    this.#code = exitCode
  }

  get exitCode(): number {
    return this.#code
  }

  /** Asks nothing of the value: a site may throw a proxy that throws. */
  static override [Symbol.hasInstance](value: unknown): value is SiteExit {
    return typeof value === 'object' && value !== null && #code in value
  }
}

const UNANSWERED_MS = 2_000
const MONITOR = 'uncaughtExceptionMonitor'
/** What is looked at once more after that time. */
const suspects = new WeakSet<Context>()

/**
 * Takes an error that what was called for `context` threw. While the site is loading it is why the load failed.
 */
export function reportCrash(context: Context, error: unknown): void {
  if (!(error instanceof SiteExit) && tell(context, 'uncaughtException', error, 'uncaughtException')) {
    context.fail?.()
    return
  }
  crash(context, error)
}

/** Takes an error that came up in what `context` has started: a timer, an event. */
export function reportUncaught(context: Context, error: unknown): void {
  if (!(error instanceof SiteExit) && tell(context, 'uncaughtException', error, 'uncaughtException')) suspect(context)
  else crash(context, error)
}

/** Takes a rejection that nothing in `context` handled. */
export function reportRejection(context: Context, reason: unknown, promise: Promise<unknown>): void {
  const isTold =
    !(reason instanceof SiteExit) &&
    (tell(context, 'unhandledRejection', reason, promise) ||
      tell(context, 'uncaughtException', reason, 'unhandledRejection'))
  if (isTold) suspect(context)
  else crash(context, reason)
}

/** The request may well be answered by what else it has under way: the site knows of the error. */
function suspect(context: Context): void {
  if (context.fail === undefined || suspects.has(context)) return
  suspects.add(context)
  const look = (): void => {
    suspects.delete(context)
    if (!context.isAnswering) context.fail?.()
  }
  runOutside(() => setTimeout(look, UNANSWERED_MS).unref())
}

function crash(context: Context, error: unknown): void {
  const { site } = context
  if (site.onLoadCrash !== undefined) return site.onLoadCrash(error)
  if (!(error instanceof SiteExit)) logFatal(context, error)
  context.fail?.()
}

/** It may be told from elsewhere, and the line has the id of the request that it belongs to. */
function logFatal(context: Context, error: unknown): void {
  runIn(context, () => context.site.log.write('fatal', showError(error)))
}

/**
 * What `process.exit` does in a site's code: it is told at once, because a framework may catch what is thrown. A site
 * that is told to stop may exit.
 *
 * @throws always, so that the code does not go on
 */
export function exitSite(site: Site, exitCode: number): never {
  const exit = new SiteExit(exitCode)
  if (site.onLoadCrash !== undefined) site.onLoadCrash(exit)
  else if (site.state === 'live') site.log.write('fatal', exit.message)
  else if (site.state === 'stopping') site.exits()
  throw exit
}

/**
 * What a signal to its own process does in a site's code that does not listen to it. An app that is told to stop tells
 * itself once more when it is done, without its listeners: there it comes back, as from `process.kill`, since a framework
 * would take what is thrown for a failure of its shutdown (NestJS).
 *
 * @throws unless the site is stopping
 */
export function killSite(site: Site): true {
  if (site.state !== 'stopping') exitSite(site, 1)
  site.exits()
  return true
}

/** Lets the site's own listeners have it. @returns whether it has any */
function tell(context: Context, event: string, ...args: unknown[]): boolean {
  const { site } = context
  const { captureError, onLoadCrash } = site
  if (event === 'uncaughtException') tellMonitors(context, ...args)
  const isCaptured = event === 'uncaughtException' && captureError !== undefined
  if (!isCaptured && site.processEvents.listenerCount(event) === 0) return false
  // As a rule a handler ends with `process.exit(1)`: the error itself is what should be read then.
  if (onLoadCrash !== undefined) site.onLoadCrash = () => onLoadCrash(args[0])
  try {
    // As in Node, what captures an error keeps it from the listeners: `domain` does, whose own one would forget whose it is.
    if (isCaptured) runIn(context, captureError, args[0] as Error)
    else runIn(context, () => site.processEvents.emit(event, ...args))
  } catch (error) {
    crash(context, error instanceof SiteExit ? args[0] : error)
  } finally {
    if (onLoadCrash !== undefined) site.onLoadCrash = onLoadCrash
  }
  return true
}

/** Lets those have it who only want to know, as Node does before anybody handles it. */
function tellMonitors(context: Context, ...args: unknown[]): void {
  const { processEvents } = context.site
  if (processEvents.listenerCount(MONITOR) === 0) return
  try {
    runIn(context, () => processEvents.emit(MONITOR, ...args))
  } catch (failure) {
    if (!(failure instanceof SiteExit)) logFatal(context, failure)
  }
}
