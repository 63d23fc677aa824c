/**
 * Whether somebody accepts connections at an address. Limit: the time given.
 */
import type { NetConnectOpts } from 'node:net'
import { connect } from 'node:net'

/** `silent`: neither accepted nor refused in time, as by a process that is stopped. */
export type ProbeOutcome = 'accepted' | 'refused' | 'silent'

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
    socket.once('error', () => done('refused'))
  })
}
