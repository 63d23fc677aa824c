/**
 * Whether a path lies in a folder, by their names alone: links are not followed here.
 */
import { relative, sep } from 'node:path'

/** Whether a path is the folder itself, or somewhere below it. @param path absolute, as `folder` is */
export function isInside(path: string, folder: string): boolean {
  const short = relative(folder, path)
  return short !== '..' && !short.startsWith(`..${sep}`)
}
