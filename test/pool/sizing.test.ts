import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poolSize, thisMachine } from '../../src/pool/sizing.ts'

const GB = 1024 ** 3
const auto = { processes: 'auto', threads: 'auto' } as const

test('a process for each core, one thread in each and up to four, said in words', () => {
  const size = poolSize({ cores: 2, memoryBytes: 24 * GB }, auto)

  assert.deepEqual(size, {
    processes: { min: 2, max: 2 },
    threads: { min: 1, max: 4 },
    reason: '2 cores, 24 GB: 2 processes × 1–4 threads',
  })
})

test('one core gives one process, with two threads', () => {
  assert.equal(poolSize({ cores: 1, memoryBytes: 2 * GB }, auto).reason, '1 core, 2 GB: 1 process × 2–4 threads')
})

test('short memory gives fewer processes, but always one', () => {
  const small = poolSize({ cores: 8, memoryBytes: 1 * GB }, auto)
  const tiny = poolSize({ cores: 8, memoryBytes: 64 * 1024 ** 2 }, auto)

  assert.deepEqual(small.processes, { min: 3, max: 3 })
  assert.match(small.reason, /^8 cores, 1 GB: 3 processes × 1–4 threads, as memory allows$/)
  assert.deepEqual(tiny.processes, { min: 1, max: 1 })
  assert.match(tiny.reason, /^8 cores, 64 MB: /)
})

test('what the pool may take counts as the memory there is, where it is less', () => {
  const machine = { cores: 8, memoryBytes: 24 * GB }

  assert.deepEqual(poolSize(machine, { ...auto, memoryBytes: 1 * GB }).processes, { min: 3, max: 3 })
  assert.equal(
    poolSize(machine, { ...auto, memoryBytes: 64 * 1024 ** 2 }).reason,
    '8 cores, 24 GB: 1 process × 2–4 threads, as memory allows',
  )
  assert.deepEqual(poolSize(machine, { ...auto, memoryBytes: 100 * GB }).processes, { min: 8, max: 8 })
})

test('numbers from the configuration are taken as they are', () => {
  const size = poolSize(
    { cores: 2, memoryBytes: 1 * GB },
    { processes: { min: 5, max: 5 }, threads: { min: 3, max: 6 } },
  )

  assert.deepEqual(size, {
    processes: { min: 5, max: 5 },
    threads: { min: 3, max: 6 },
    reason: '2 cores, 1 GB: 5 processes × 3–6 threads, as configured',
  })
})

test('this machine has cores and memory', () => {
  const machine = thisMachine()

  assert.ok(machine.cores >= 1)
  assert.ok(machine.memoryBytes > 64 * 1024 ** 2)
})
