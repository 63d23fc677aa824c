/** A site that ends its thread or process, and neighbours that may not notice: docs/isolation.md. */
import { test } from 'node:test'
import { ENDING_FAULTS } from '../../bench/chaos/ending-faults.ts'
import { assertSurvived } from '../helpers/fault-box.ts'

for (const fault of ENDING_FAULTS) {
  test(`${fault.what}: neighbours lose nothing, and the pool is whole again`, { timeout: 90_000 }, async (t) => {
    await assertSurvived(t, fault)
  })
}
