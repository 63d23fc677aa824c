/**
 * What becomes of an error of the server's own that nothing has caught: it is logged with its stack, and costs what it
 * belonged to. Node would end the process, and with it every site, for what may have been one request.
 *
 * Limits: a server that fails again and again is not in order; after `MOST_FAULTS` within `WITHIN_MS` it ends with 1, so that
 * whoever looks after it starts another. Invariant: no error passes without a line in the log.
 */
import type { Log } from '../core/log.ts'
import { EXIT } from './exit-codes.ts'
import { complain } from './output.ts'

const MOST_FAULTS = 10
const WITHIN_MS = 60_000

/** Keeps this process up from now on, whatever its own code throws or rejects with. Sites run in other processes. */
export function surviveOwnFaults(log: Log): void {
  let last: number[] = []
  process.on('uncaughtException', (error: unknown, origin) => {
    const now = performance.now()
    last = [...last.filter((at) => now - at < WITHIN_MS), now]
    log.error({ err: error, origin }, 'a fault of vhostel itself, please report it; the sites are served on')
    if (last.length < MOST_FAULTS) return
    complain(`vhostel: ${MOST_FAULTS} faults of its own within a minute: the server ends`)
    process.exit(EXIT.wrong)
  })
}
