/**
 * The steps that are taken with a thread that does not come round, and when each is due. Pure.
 *
 * Limit: a step for which a site sets less than the one before it takes comes right after that one.
 */
import type { SiteLimits } from './pool-site.ts'

/** From here on the stack is asked whose code it is, where no mark says it. */
const WHOSE_MS = 60
/** From here on other threads load what waits for this one, and it is an offence. */
export const STALLED_MS = 100
/** From `terminate()` to the end of the process, in ms. */
export const TERMINATE_GRACE_MS = 2_000
/** Where nobody is known to be the culprit. */
export const USUAL_LIMITS = { slowMs: 1_000, softLimitMs: 2_000, hardLimitMs: 10_000 }

/** The steps, in their order; each is taken once while a thread is late. */
export const STEPS = ['whose', 'stalled', 'slow', 'retire', 'terminate', 'kill'] as const
export type Step = (typeof STEPS)[number]
/** From here on a step costs its site, or what else is in the thread. */
export const FIRST_GRAVE_STEP = STEPS.indexOf('slow')

/** Those of the site whose code it is. */
type StepLimits = Pick<SiteLimits, 'slowMs' | 'softLimitMs' | 'hardLimitMs'>

/** How late a thread is when a step is due, in ms. */
export function dueMs(step: Step, limits: StepLimits = USUAL_LIMITS): number {
  switch (step) {
    case 'whose':
      return WHOSE_MS
    case 'stalled':
      return STALLED_MS
    case 'slow':
      return limits.slowMs
    case 'retire':
      return limits.softLimitMs
    case 'terminate':
      return limits.hardLimitMs
    case 'kill':
      return limits.hardLimitMs + TERMINATE_GRACE_MS
    default:
      return step satisfies never
  }
}
