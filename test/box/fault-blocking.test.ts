/** A site that does not give its thread back, and neighbours that may not notice: docs/isolation.md. */
import { test } from 'node:test'
import { BLOCKING_FAULTS } from '../../bench/chaos/blocking-faults.ts'
import { assertSurvived } from '../helpers/fault-box.ts'

for (const fault of BLOCKING_FAULTS) {
  test(`${fault.what}: neighbours lose nothing, and the pool is whole again`, { timeout: 90_000 }, async (t) => {
    await assertSurvived(t, fault)
  })
}
