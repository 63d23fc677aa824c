/**
 * What a supervisor calls in its thread, in the middle of whatever that does, to see whose code runs and where
 * (thread-stack.ts): a function of the thread's global object, called by way of the inspector.
 *
 * Limits: it is called where V8 looks for interrupts, as at the head of a loop, and must leave everything as it is: it only
 * reads, and calls nothing that a site can replace. Invariant: what it gives is JSON, whatever files and functions are called.
 */
import type { CallSiteObject } from 'node:util'
import { getCallSites } from 'node:util'
import type { Exchange } from './exchange.ts'
import { currentContext } from './request-context.ts'
import { LOOK_FUNCTION } from './thread-options.ts'

/** Frames beyond these are left out: the innermost tell what runs. */
const MAX_FRAMES = 50
/** Its own, and that of the expression. */
const OWN_FRAMES = 2

/** Line and column, from 1; a path, URL or name of the script; the function, empty where it has no name. */
export type RawFrame = [line: number, column: number, script: string, name: string]

/** Whose code runs: a generation, 0 for vhostel's own; 1 where it is for a request that is open; the innermost frame first. */
export type Looked = [generation: number, forRequest: 0 | 1, ...frames: RawFrame[]]

// Sites can replace both; and what is an array could be written by a `toJSON` of theirs.
const quote: (text: string) => string = JSON.stringify
const callSites = getCallSites

/** To be called once a thread, before any site is loaded. */
export function installLook(): void {
  const look = (): string => {
    const context = currentContext()
    const isForRequest = context !== undefined && context.site.open.get((context as Exchange).id) === context
    let text = `[${context?.site.generation ?? 0},${isForRequest ? 1 : 0}`
    const sites = callSites(MAX_FRAMES + OWN_FRAMES, { sourceMap: false })
    for (let at = OWN_FRAMES; at < sites.length; at++) {
      const { lineNumber, columnNumber, scriptName, functionName } = sites[at] as CallSiteObject
      text += `,[${lineNumber},${columnNumber},${quote(scriptName)},${quote(functionName)}]`
    }
    return `${text}]`
  }
  Object.defineProperty(globalThis, LOOK_FUNCTION, { value: look })
}
