/**
 * Connects to a unix socket in a folder of another user, who must not lead a server that runs as root elsewhere: with a link in
 * the place of the socket it would ask there for him, at Docker or at its own admin socket, what he may not ask himself.
 *
 * Limit: Linux. Invariant: what is connected to is what was looked at, whatever stands at the path by then.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'

/** open(2): the file itself is not opened. Node does not name it. */
const O_PATH = 0o10000000

/**
 * @param uid whose socket it has to be
 * @param connect is given a path to that socket, good until it returns: connect(2) has to be called by then, as `net.connect` does
 * @throws what is there is none, or nothing is there (`ENOENT`)
 */
export function toSocketOf<T>(uid: number, path: string, connect: (path: string) => T): T {
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW)
  try {
    const stats = fstatSync(fd)
    if (!stats.isSocket() || stats.uid !== uid) throw new Error(`${path} is no socket of the user ${uid}`)
    return connect(`/proc/self/fd/${fd}`)
  } finally {
    closeSync(fd)
  }
}
