/**
 * `Error.prepareStackTrace` as each site in a thread sees it: what one sets there makes the stacks of its own errors, and
 * of no other site's. Node asks for it whenever a stack is read for the first time, so whose code reads it decides.
 *
 * Limit: `Error.stackTraceLimit` stays the thread's (shared-globals.ts keeps it from being lowered); V8 reads it only
 * where it is a plain number.
 */
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'

type PrepareStackTrace = typeof Error.prepareStackTrace

/** Once a thread, before any site is loaded. */
export function installSiteStacks(): void {
  const { prepareStackTrace } = Error
  const own = new WeakMap<Site, { value: PrepareStackTrace }>()
  Object.defineProperty(Error, 'prepareStackTrace', {
    configurable: true,
    enumerable: false,
    get: (): PrepareStackTrace => {
      const site = currentSite()
      const set = site === undefined ? undefined : own.get(site)
      return set === undefined ? prepareStackTrace : set.value
    },
    set: (value: PrepareStackTrace) => {
      const site = currentSite()
      if (site !== undefined) own.set(site, { value })
    },
  })
}
