/** The kernel keeps the memory of pools, where it has a cgroup (v2) for that; and all is as ever where it has none. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { makeBox, startBox } from '../helpers/box.ts'
import { cgroupsIn, makeCgroup, underCgroup, whyNoCgroup } from '../helpers/cgroup.ts'

const missing = whyNoCgroup()
const needsCgroup = { skip: missing ?? false }
const LOGGING = { 'logging.ini': '[log]\nlevel = debug\n' }
const MB = 1024 ** 2
const FOR_MEMORY = 'SIGKILL: the kernel had no memory left for it'

/** Takes memory until somebody stops it, after starting a program that would go on for a minute. */
const HOG: SiteFixture = {
  files: {
    'app.cjs': `const { spawn } = require('node:child_process')
const kept = []
module.exports = (req, res) => {
  if (req.url === '/here') return res.end('here')
  kept.push(spawn('sleep', ['60']))
  require('node:fs').writeFileSync(__dirname + '/child', String(kept[0].pid))
  for (;;) kept.push(Buffer.alloc(4e6, 1))
}`,
  },
  // What the watch does with a loop is not asked here.
  more: 'pool = hogs\n[limits]\nslow = 60s\nsoft_limit = 80s\nhard_limit = 90s\n',
}
const OTHER: SiteFixture = { files: { 'app.cjs': "module.exports = (req, res) => res.end('other')" } }
/** One process each, so that it is known who fills one; limits of threads that are never reached. */
const POOLS = '[pool]\nprocesses = 1\nthreads = 1\n[pool hogs]\nthreads = 1\nthread_memory = 4GB'

async function startIn(t: Parameters<typeof makeBox>[0], cgroup: string | undefined, config: string): Promise<Box> {
  const box = makeBox(
    t,
    { hog: HOG, other: OTHER },
    { config, ...(cgroup === undefined ? {} : { under: underCgroup(cgroup) }) },
  )
  for (const [file, text] of Object.entries(LOGGING)) box.write(file, text)
  await box.start()
  assert.equal((await box.ask('hog', '/here')).text, 'here')
  assert.equal((await box.ask('other')).text, 'other')
  return box
}

/** Has the hog take all; fails when that hurts anybody else. */
async function letItTakeAll(box: Box): Promise<void> {
  const before = (await box.status()).pid
  const taken = box.ask('hog', '/all')
  let isOver = false
  const others = (async () => {
    while (!isOver) assert.equal((await box.ask('other')).status, 200)
  })()
  const { status } = await taken
  isOver = true
  await others
  assert.equal(status, 502)
  assert.equal((await box.status()).pid, before)
}

/** Why worker processes ended: short of memory, one may also stand still for so long that the watch ends it. */
function endings(box: Box): unknown[] {
  return lines(box, 'worker process ended').map(({ why }) => why)
}

function lines(box: Box, message: string): Record<string, unknown>[] {
  const found = box.output.split('\n').filter((line) => line.includes(`"msg":"${message}`))
  return found.map((line) => JSON.parse(line))
}

test(
  'at the limit of its pool the kernel ends one worker process whole, and the log says why',
  needsCgroup,
  async (t) => {
    const cgroup = makeCgroup()
    const box = await startIn(t, cgroup, `${POOLS}\nmemory = 128MB`)
    assert.equal(readFileSync(`${cgroup}/vhostel-${box.pid}/pool-hogs/memory.max`, 'utf8').trim(), String(128 * MB))

    await letItTakeAll(box)

    const child = readFileSync(`${box.dir}/sites/hog/child`, 'utf8')
    const isGone = (): boolean => !/^State:\s+[RSD]/m.test(statusOf(child))
    await box.waitFor('what the site had started to be ended with its process', isGone)
    assert.ok(endings(box).includes(FOR_MEMORY), box.output)
    const [quarantined] = lines(box, 'site is quarantined')
    assert.deepEqual([quarantined?.site, quarantined?.offence], ['hog', 'memory'])
    const again = async (): Promise<boolean> => (await box.ask('hog', '/here')).text === 'here'
    await box.waitFor('the site to be back', again)
    assert.equal((await box.site('hog'))?.residency?.group, 'site:hog')
  },
)

test('a limit of the whole service takes a worker process, never the dispatcher', needsCgroup, async (t) => {
  const cgroup = makeCgroup()
  writeFileSync(`${cgroup}/memory.max`, String(256 * MB))
  const box = await startIn(t, cgroup, POOLS)
  assert.match((await box.status()).pool.reason, /256 MB/)

  await letItTakeAll(box)

  assert.ok(endings(box).includes(FOR_MEMORY), box.output)
})

test(
  'nothing is left of the cgroups when the server stops, and what a killed one left goes at the next start',
  needsCgroup,
  async (t) => {
    const cgroup = makeCgroup()
    // As of a server that ended without a word; no process has this number.
    mkdirSync(`${cgroup}/vhostel-4194999/pool-default/process-0`, { recursive: true })
    const box = await startBox(t, { other: OTHER }, { config: POOLS, under: underCgroup(cgroup) })
    assert.deepEqual(cgroupsIn(cgroup), [`vhostel-${box.pid}`])

    await box.stop()

    assert.deepEqual(cgroupsIn(cgroup), [])
    assert.doesNotMatch(readFileSync(`${cgroup}/cgroup.subtree_control`, 'utf8'), /memory/)
  },
)

test('without a cgroup of its own everything is as ever, and only the debug log speaks of it', async (t) => {
  // Where the machine has cgroups: one without a memory controller.
  const cgroup = missing === undefined ? `${makeCgroup()}/none` : undefined
  if (cgroup === undefined) t.diagnostic(`this machine has no cgroup for a test: ${missing}`)
  else mkdirSync(cgroup)

  const box = await startIn(t, cgroup, `${POOLS}\nmemory = 128MB`)

  const [told, ...more] = lines(box, 'the kernel does not limit')
  assert.equal(told?.level, 20, JSON.stringify(told))
  assert.deepEqual(more, [])
  if (cgroup !== undefined) assert.deepEqual(cgroupsIn(cgroup), [])
})

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return ''
  }
}
