/** Limits and lanes of sites for tests of what the pool decides, where only a site's identity matters. */
import type { Exchange } from '../../src/pool/exchange.ts'
import type { SiteLimits } from '../../src/pool/pool-site.ts'
import type { Lane } from '../../src/pool/scheduler.ts'
import { Scheduler } from '../../src/pool/scheduler.ts'

const scheduler = new Scheduler<Exchange>({ concurrency: 2, spreadAt: 1, busyAt: 0.8, packMs: 2, backlogMs: 10 })

export const LIMITS: SiteLimits = {
  timeoutMs: 1000,
  queue: 10,
  queueTimeoutMs: 1000,
  stopTimeoutMs: 1000,
  slowMs: 1000,
  softLimitMs: 1000,
  hardLimitMs: 1000,
  offences: 3,
  quarantineMs: 1000,
  idleMs: 0,
  preload: false,
  share: 0,
  max: 1,
  maxThreads: undefined,
}

/** A lane in the default group, with no thread. */
export function laneOf(site: string): Lane<Exchange> {
  return scheduler.addLane(site, 'default', 10)
}
