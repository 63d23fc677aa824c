/**
 * Everything that a site may do wrong: each is a site's code, who visits it, and what these visitors may see. What its
 * neighbours may see is the same for all: docs/isolation.md.
 */
import { BLOCKING_FAULTS } from './blocking-faults.ts'
import { ENDING_FAULTS } from './ending-faults.ts'
import type { Fault } from './fault.ts'
import { HOLDING_FAULTS } from './holding-faults.ts'
import { LEAKING_FAULTS } from './leaking-faults.ts'
import { MEDDLING_FAULTS } from './meddling-faults.ts'

export const FAULTS: readonly Fault[] = [
  ...BLOCKING_FAULTS,
  ...ENDING_FAULTS,
  ...LEAKING_FAULTS,
  ...HOLDING_FAULTS,
  ...MEDDLING_FAULTS,
]

/** Lines for the INI of a site that does wrong: limits so short that a trial sees all steps. */
export const SHORT_LIMITS = `[limits]
timeout = 3s
start_timeout = 5s
slow = 300ms
soft_limit = 600ms
hard_limit = 1500ms
`
