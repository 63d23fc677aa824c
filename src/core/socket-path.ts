/**
 * How long the path of a unix socket may be.
 */
import { SocketPathTooLong } from './errors.ts'

/** Longest path of a unix socket on Linux, in bytes, without its closing NUL (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107

/** @throws VHOSTEL_SOCKET_PATH_TOO_LONG */
export function checkSocketPath(path: string): void {
  const length = Buffer.byteLength(path)
  if (length > MAX_SOCKET_PATH_BYTES) throw new SocketPathTooLong(path, length, MAX_SOCKET_PATH_BYTES)
}
