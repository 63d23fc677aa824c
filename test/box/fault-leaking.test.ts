/** A site that takes and never gives back, and neighbours that may not notice: docs/isolation.md. */
import { test } from 'node:test'
import { LEAKING_FAULTS } from '../../bench/chaos/leaking-faults.ts'
import { assertSurvived } from '../helpers/fault-box.ts'

for (const fault of LEAKING_FAULTS) {
  test(`${fault.what}: neighbours lose nothing, and the pool is whole again`, { timeout: 90_000 }, async (t) => {
    await assertSurvived(t, fault)
  })
}
