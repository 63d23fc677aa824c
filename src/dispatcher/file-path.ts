/**
 * The path of a request as the name of a file: decoded, and refused where no link of a site leads. Pure.
 */
import { FileRefused } from './open-inside.ts'

/** A request target in parts. */
export interface TargetParts {
  /** As sent. */
  path: string
  /** With its question mark; '' for none. */
  query: string
}

/** @param target in origin form */
export function splitTarget(target: string): TargetParts {
  const at = target.indexOf('?')
  return at === -1 ? { path: target, query: '' } : { path: target.slice(0, at), query: target.slice(at) }
}

/**
 * Decodes a path. Dotfiles are hidden but for `/.well-known` (RFC 8615), and with them `..` in any spelling.
 *
 * @param path as sent; '' for a folder that is mounted, without its slash
 * @throws FileRefused with 400 for bad escapes and NUL, 404 for what is hidden
 */
export function decodePath(path: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    throw new FileRefused(400)
  }
  if (decoded.includes('\0')) throw new FileRefused(400)
  if (decoded !== '' && !decoded.startsWith('/')) throw new FileRefused(404)
  const visible = decoded.startsWith('/.well-known/') ? decoded.slice('/.well-known'.length) : decoded
  if (visible.includes('/.')) throw new FileRefused(404)
  return decoded
}

/** A path that a `Location` may have: `//host/` and `/\host/` would lead to another host. */
export function sameHostPath(path: string): string {
  return path.replace(/^[/\\]+/, '/')
}
