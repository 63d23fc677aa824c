/**
 * What a site throws, in words. It may be anything at all. Invariant: nothing here throws, because who reports an error has
 * nobody to report another to, and would take the whole thread with it.
 */
import { inspect } from 'node:util'

/** As `inspect` shows it; a word in its place where it cannot be shown (its own `inspect` throws, or the making of its stack). */
export function showError(error: unknown): string {
  try {
    return inspect(error)
  } catch {
    return `${typeof error === 'object' ? 'an object' : `a ${typeof error}`} that cannot be shown`
  }
}
