/**
 * Where links lead to.
 */
import { lstatSync, readlinkSync, realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** As many links may follow each other (as in the kernel). */
const MAX_LINKS = 40

/**
 * The paths that a link leads to, step by step; the last one is a file, or is not there. None for what is no link.
 *
 * @param real where the path leads to in the end, if that is known
 */
export function linkTargets(path: string, real?: string): string[] {
  const targets: string[] = []
  let target = nextTarget(path, real)
  while (target !== undefined && targets.length < MAX_LINKS) {
    targets.push(target)
    if (target === real) break
    target = nextTarget(target, real)
  }
  return targets
}

function nextTarget(path: string, real: string | undefined): string | undefined {
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return undefined
    const target = readlinkSync(path)
    const direct = resolve(dirname(path), target)
    // The real folder: `..` in a link starts there, whichever way one came.
    return direct === real ? direct : resolve(realpathSync.native(dirname(path)), target)
  } catch {
    return undefined // taken away in between, or below what is no folder
  }
}

/** The path without any link on the way; undefined where it leads nowhere, or may not be followed. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path)
  } catch {
    return undefined
  }
}
