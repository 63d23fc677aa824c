import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
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

/** Cores that a process sees in a tree of cgroup v2 that exists for it alone (unshare(1); without root too). */
const UNDER_QUOTA = `set -e
mount -t tmpfs none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/system.slice/vhostel.service
echo cpu > /sys/fs/cgroup/system.slice/vhostel.service/cgroup.controllers
echo max 100000 > /sys/fs/cgroup/system.slice/vhostel.service/cpu.max
echo "$QUOTA 100000" > /sys/fs/cgroup/system.slice/cpu.max
echo 0::/system.slice/vhostel.service > /sys/fs/cgroup/own
mount --bind /sys/fs/cgroup/own /proc/$$/cgroup
exec "$0" -e 'import(process.argv[1]).then((sizing) => console.log(sizing.thisMachine().cores))' "$1"`

function coresUnder(quota: string): number {
  const sizing = fileURLToPath(import.meta.resolve('../../src/pool/sizing.ts'))
  const { status, stdout, stderr } = spawnSync('unshare', ['-rm', 'sh', '-c', UNDER_QUOTA, process.execPath, sizing], {
    encoding: 'utf8',
    env: { ...process.env, QUOTA: quota },
  })
  assert.equal(status, 0, stderr)
  return Number(stdout)
}

/** Why there cannot be such a tree here; false where there can. */
function whyNoQuota(): string | false {
  if (availableParallelism() < 2) return 'a quota cannot leave fewer cores than one'
  const script = 'mount -t tmpfs none /sys/fs/cgroup && mount --bind /dev/null /proc/$$/cgroup'
  const { status, stderr, error } = spawnSync('unshare', ['-rm', 'sh', '-c', script], { encoding: 'utf8' })
  return status !== 0 && `no mounts of its own for a process here: ${error?.message ?? stderr}`
}

test("a cgroup's quota of processor time counts, rounded down, but never to none", { skip: whyNoQuota() }, () => {
  // This process may be under a quota itself.
  assert.ok(coresUnder('max') >= availableParallelism())
  assert.equal(coresUnder('150000'), 1)
  assert.equal(coresUnder('30000'), 1)
})
