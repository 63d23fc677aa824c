import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'

const MODULE = new URL('../../src/config/folder-watch.ts', import.meta.url).href

/** Watches three folders and prints what is said of it. */
const SCRIPT = `
import { mkdirSync } from 'node:fs'
const { FolderWatch } = await import('${MODULE}')
const said = []
const log = { warn: (fields, message) => said.push(message) }
const watch = new FolderWatch({ onEvent() {}, isWanted: () => true, maxFolders: 10, log })
const folders = ['a', 'b', 'c'].map((name) => process.argv[2] + '/' + name)
for (const folder of folders) mkdirSync(folder)
watch.setFolders(folders)
await watch.ready
await watch.close()
console.log(JSON.stringify(said))
`

/** In a user namespace, whose limits are its own. */
function inNamespace(limit: string, folder: string): { status: number | null; stdout: string; stderr: string } {
  const line = `echo 0 > /proc/sys/user/${limit} && exec "$@"`
  const node = [process.execPath, '--input-type=module', '-', folder]
  return spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', line, 'sh', ...node], {
    input: SCRIPT,
    encoding: 'utf8',
    timeout: 20_000,
  })
}

const PROBE = ['--user', '--map-root-user', 'test', '-w', '/proc/sys/user/max_inotify_watches']
const canUnshare = spawnSync('unshare', PROBE).status === 0

for (const [limit, cure] of [
  ['max_inotify_instances', 'fs.inotify.max_user_instances'],
  ['max_inotify_watches', 'fs.inotify.max_user_watches'],
] as const) {
  test(`where ${limit} has run out it is said once, with the cure`, { skip: !canUnshare }, (t) => {
    const folder = mkdtempSync(`${tmpdir()}/vh-`)
    t.after(() => rmSync(folder, { recursive: true }))

    const { status, stdout, stderr } = inNamespace(limit, folder)

    assert.equal(status, 0, stderr)
    const said = JSON.parse(stdout) as string[]
    assert.equal(said.length, 1, stdout)
    assert.match(said[0] ?? '', /^the kernel watches no more files: .* by vhostel reload; raise /)
    assert.ok(said[0]?.includes(cure), said[0])
  })
}

/** Watches a folder that its own user has closed, and prints what is said of it. */
const CLOSED_SCRIPT = `
import { chmodSync, mkdirSync } from 'node:fs'
const { FolderWatch } = await import('${MODULE}')
const said = []
const log = { warn: (fields, message) => said.push({ ...fields, message }) }
const watch = new FolderWatch({ onEvent() {}, isWanted: () => true, maxFolders: 10, log })
const folder = process.argv[2] + '/closed'
mkdirSync(folder)
chmodSync(folder, 0o100)
watch.setFolders([folder])
await watch.ready
await watch.close()
console.log(JSON.stringify(said))
`

test('a folder that may not be watched is told without a stack', (t) => {
  const folder = mkdtempSync(`${tmpdir()}/vh-`)
  t.after(() => rmSync(folder, { recursive: true }))
  // Root may watch everything.
  const somebody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  if (somebody.uid !== undefined) chownSync(folder, somebody.uid, somebody.gid)

  const command = ['--input-type=module', '-', folder]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    ...somebody,
    input: CLOSED_SCRIPT,
    encoding: 'utf8',
    timeout: 20_000,
  })

  assert.equal(status, 0, stderr)
  const [said] = JSON.parse(stdout) as Array<Record<string, unknown>>
  assert.match(String(said?.reason), /^EACCES: permission denied, watch '\S+closed'$/)
  assert.deepEqual(Object.keys(said ?? {}), ['reason', 'user', 'message'])
})
