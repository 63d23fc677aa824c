/** A site that meddles with what belongs to all, and neighbours that may not notice: docs/isolation.md. */
import { test } from 'node:test'
import { MEDDLING_FAULTS } from '../../bench/chaos/meddling-faults.ts'
import { assertSurvived } from '../helpers/fault-box.ts'

for (const fault of MEDDLING_FAULTS) {
  test(`${fault.what}: neighbours lose nothing, and the pool is whole again`, { timeout: 90_000 }, async (t) => {
    await assertSurvived(t, fault)
  })
}
