/**
 * Tells the dispatcher which site loads native code, before it is loaded: whatever ends the process from then on, may have
 * been that.
 *
 * Limits: code that a site runs in another way than by `process.dlopen` (WebAssembly is none; `node:ffi` does not exist yet) is
 * not seen. Invariant: what is told has left this process before the first byte of the addon runs.
 */
import { currentSite } from './request-context.ts'

/** Begins to watch. Once a thread. */
export function installNativeTrace(): void {
  const { dlopen } = process
  process.dlopen = (...args) => {
    currentSite()?.loadsNative()
    Reflect.apply(dlopen, process, args)
  }
}
