/** Waits for a server to listen. Invariant: nothing of the wait is left on the server. */
import type { Server } from 'node:net'

/**
 * Has a server begin to listen, and resolves when it does.
 *
 * @param begin calls `server.listen`, with what it is given as the last argument
 * @throws what the kernel says (`EADDRINUSE`, …)
 */
export function listening(server: Server, begin: (onListening: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    begin(() => {
      server.off('error', reject)
      resolve()
    })
  })
}
