import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poolSize, thisMachine } from '../../src/pool/sizing.ts'

const GB = 1024 ** 3
const auto = { processes: 'auto', threads: 'auto' } as const

test('a process for each core and two threads in each, said in words', () => {
  const size = poolSize({ cores: 2, memoryBytes: 24 * GB }, auto)

  assert.deepEqual(size, { processes: 2, threads: 2, reason: '2 cores, 24 GB: 2 processes × 2 threads' })
})

test('one core gives one process', () => {
  assert.equal(poolSize({ cores: 1, memoryBytes: 2 * GB }, auto).reason, '1 core, 2 GB: 1 process × 2 threads')
})

test('short memory gives fewer processes, but always one', () => {
  const small = poolSize({ cores: 8, memoryBytes: 1 * GB }, auto)
  const tiny = poolSize({ cores: 8, memoryBytes: 64 * 1024 ** 2 }, auto)

  assert.equal(small.processes, 2)
  assert.match(small.reason, /^8 cores, 1 GB: 2 processes × 2 threads, as memory allows$/)
  assert.equal(tiny.processes, 1)
  assert.match(tiny.reason, /^8 cores, 64 MB: /)
})

test('numbers from the configuration are taken as they are', () => {
  const size = poolSize({ cores: 2, memoryBytes: 1 * GB }, { processes: 5, threads: 3 })

  assert.deepEqual(size, { processes: 5, threads: 3, reason: '2 cores, 1 GB: 5 processes × 3 threads, as configured' })
})

test('this machine has cores and memory', () => {
  const machine = thisMachine()

  assert.ok(machine.cores >= 1)
  assert.ok(machine.memoryBytes > 64 * 1024 ** 2)
})
