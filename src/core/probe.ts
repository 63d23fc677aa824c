/**
 * Whether somebody accepts connections at an address. Limit: the time given.
 */
import type { NetConnectOpts } from 'node:net'
import { connect } from 'node:net'

/**
 * `silent`: neither accepted nor refused, as by a process that is stopped or has not taken those who came before (EAGAIN), or
 * whose socket is not for us (EACCES).
 */
export type ProbeOutcome = 'accepted' | 'refused' | 'silent'

/** What the kernel says where nobody listens. */
const REFUSALS = new Set(['ECONNREFUSED', 'ENOENT'])

/** Opens a connection and ends it at once. Never rejects. */
export function probe(address: NetConnectOpts, timeoutMs: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connect(address)
    const done = (outcome: ProbeOutcome): void => {
      socket.destroy()
      resolve(outcome)
    }
    socket.setTimeout(timeoutMs, () => done('silent'))
    socket.once('connect', () => done('accepted'))
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => done(REFUSALS.has(code) ? 'refused' : 'silent'))
  })
}
