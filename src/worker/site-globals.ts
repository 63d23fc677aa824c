/**
 * Globals that a site makes (`global.db = …`, `globalThis.window = …`, a variable that it did not declare) are its own: many
 * programs keep their folder, their settings or the connection to their database there, by names that others have as well.
 *
 * The prototype of the global object is one that is asked for what the object itself has not, and keeps it by site. What
 * packages make that sites share (in a `node_modules` above their folders) is for all of these. Code whose site is not known,
 * in a callback of native code, has what only one site has.
 *
 * Limits: what is made by `Object.defineProperty`, or by a script of `node:vm`, is for all; `delete` and `Object.keys` do not
 * know a site's own ones. A global that is not there costs 0.2 µs. Invariant: what Node itself has there is found as ever, and
 * is guarded by shared-globals.ts.
 */
import { getCallSites } from 'node:util'
import { isSharedCode } from './file-trace.ts'
import { currentSite } from './request-context.ts'
import { scriptPath } from './script-path.ts'

type Values = Record<PropertyKey, unknown>

const { get: read, has: hasMember, set: assign } = Reflect
const { create } = Object
/** By the site's name: its generations have them in common, as they have its packages. */
const bySite: Record<string, Values> = create(null)

/** Once a thread, before any site is loaded. */
export function installSiteGlobals(): void {
  const real = globalThis
  const before = Object.getPrototypeOf(real) as object
  const own = new Proxy(before, {
    get: (target, key, receiver) => {
      const values = valuesWith(key)
      return values === undefined ? read(target, key, receiver) : values[key]
    },
    has: (target, key) => valuesWith(key) !== undefined || hasMember(target, key),
    set: (target, key, value, receiver) => {
      const values = receiver === real && key !== '__proto__' ? (valuesWith(key) ?? valuesFor()) : undefined
      if (values === undefined) return assign(target, key, value, receiver)
      values[key] = value
      return true
    },
  })
  Object.setPrototypeOf(real, own)
  // Programs that pretend to be a browser have one of their own beside their window.
  const { navigator } = real
  if (!Reflect.deleteProperty(real, 'navigator')) return
  Object.defineProperty(before, 'navigator', { value: navigator, configurable: true, enumerable: true, writable: true })
}

/** The values that have this one, for the code that is running. */
function valuesWith(key: PropertyKey): Values | undefined {
  const site = currentSite()
  if (site === undefined) return onlyValuesWith(key)
  const values = bySite[site.name]
  return values !== undefined && key in values ? values : undefined
}

function onlyValuesWith(key: PropertyKey): Values | undefined {
  let found: Values | undefined
  for (const name in bySite) {
    const values = bySite[name] as Values
    if (!(key in values)) continue
    if (found !== undefined) return undefined
    found = values
  }
  return found
}

/** Where the code that is running keeps a new one; undefined where that is for all. */
function valuesFor(): Values | undefined {
  const site = currentSite()
  if (site === undefined || isSharedCode(site.files, callerPath())) return undefined
  bySite[site.name] ??= create(null) as Values
  return bySite[site.name]
}

/** This function's own frame, and those of the two that it is called by. */
const OWN_FRAMES = 3

function callerPath(): string {
  return scriptPath(getCallSites(OWN_FRAMES + 1).at(OWN_FRAMES)?.scriptName ?? '')
}
