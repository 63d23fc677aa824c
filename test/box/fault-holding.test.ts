/** A site that holds requests for ever, and neighbours that may not notice: docs/isolation.md. */
import { test } from 'node:test'
import { HOLDING_FAULTS } from '../../bench/chaos/holding-faults.ts'
import { assertSurvived } from '../helpers/fault-box.ts'

for (const fault of HOLDING_FAULTS) {
  test(`${fault.what}: neighbours lose nothing, and the pool is whole again`, { timeout: 90_000 }, async (t) => {
    await assertSurvived(t, fault)
  })
}
