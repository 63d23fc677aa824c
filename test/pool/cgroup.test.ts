import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { countOomKills, findCgroup, memoryLimit } from '../../src/pool/cgroup.ts'
import { makeFolder } from '../helpers/folder.ts'

const OTHERS = '24 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n31 24 0:28 / /sys rw - sysfs sysfs rw\n'

function mounted(root: string, at: string): string {
  return `${OTHERS}28 27 0:24 ${root} ${at} rw,nosuid,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n`
}

test('a process is found in the tree, in a container and beside cgroup v1 too', () => {
  const cases: [mountinfo: string, membership: string, folder: string | undefined][] = [
    [
      mounted('/', '/sys/fs/cgroup'),
      '0::/system.slice/vhostel.service\n',
      '/sys/fs/cgroup/system.slice/vhostel.service',
    ],
    [mounted('/', '/sys/fs/cgroup'), '0::/\n', '/sys/fs/cgroup'],
    [mounted('/docker/1', '/sys/fs/cgroup'), '0::/docker/1\n', '/sys/fs/cgroup'],
    [mounted('/docker/1', '/sys/fs/cgroup'), '0::/docker/1/web\n', '/sys/fs/cgroup/web'],
    [mounted('/docker/1', '/sys/fs/cgroup'), '0::/docker/12\n', undefined],
    [mounted('/', '/sys/fs/cgroup'), '0::/../other\n', undefined],
    [mounted('/', '/mnt/my\\040groups'), '0::/a\n', '/mnt/my groups/a'],
    [mounted('/', '/sys/fs/cgroup/unified'), '4:memory:/web\n0::/\n', '/sys/fs/cgroup/unified'],
    [mounted('/', '/sys/fs/cgroup'), '4:memory:/web\n', undefined],
    [OTHERS, '0::/\n', undefined],
    ['', '', undefined],
  ]

  for (const [mountinfo, membership, folder] of cases) {
    assert.equal(findCgroup(mountinfo, membership)?.folder, folder, `${mountinfo}${membership}`)
  }
})

test('the lowest limit on the way up counts', (t) => {
  const top = makeFolder(t)
  const folder = join(top, 'slice/vhostel.service')
  mkdirSync(folder, { recursive: true })
  assert.equal(memoryLimit({ folder, top }), Number.POSITIVE_INFINITY)

  writeFileSync(join(folder, 'memory.max'), 'max\n')
  writeFileSync(join(top, 'slice/memory.max'), '1000\n')
  assert.equal(memoryLimit({ folder, top }), 1000)

  writeFileSync(join(folder, 'memory.max'), '900\n')
  assert.equal(memoryLimit({ folder, top }), 900)
  assert.equal(memoryLimit({ folder: top, top }), Number.POSITIVE_INFINITY)
})

test('kills for want of memory are counted, and nothing else', () => {
  const events = 'low 0\nhigh 1\nmax 22\noom 3\noom_kill 2\noom_group_kill 1\n'

  assert.equal(countOomKills(events), 2)
  assert.equal(countOomKills('oom 3\noom_group_kill 1\n'), 0)
  assert.equal(countOomKills(''), 0)
})
