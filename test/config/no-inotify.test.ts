import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'

const MODULE = new URL('../../src/config/folder-watch.ts', import.meta.url).href
const CODE_WATCH = new URL('../../src/config/code-watch.ts', import.meta.url).href

/** Watches three folders and prints what is said of it. */
const SCRIPT = `
import { mkdirSync } from 'node:fs'
const { FolderWatch } = await import('${MODULE}')
const said = []
const log = { warn: (fields, message) => said.push(message), info() {} }
const watch = new FolderWatch({ onEvent() {}, onWatchedLate() {}, isWanted: () => true, maxFolders: 10, log })
const folders = ['a', 'b', 'c'].map((name) => process.argv[2] + '/' + name)
for (const folder of folders) mkdirSync(folder)
watch.setFolders(folders)
await watch.ready
await watch.close()
console.log(JSON.stringify(said))
`

/** In a user namespace, whose limits are its own. */
function inNamespace(
  limit: string,
  folder: string,
  script = SCRIPT,
): { status: number | null; stdout: string; stderr: string } {
  const line = `echo 0 > /proc/sys/user/${limit} && exec "$@"`
  const node = [process.execPath, '--input-type=module', '-', folder]
  return spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', line, 'sh', ...node], {
    input: script,
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

/** Watches the code of three sites where nothing can be watched, and raises the limit later. */
const LATER_SCRIPT = `
import { mkdirSync, writeFileSync } from 'node:fs'
const { CodeWatch } = await import('${CODE_WATCH}')
const told = []
let next = Promise.withResolvers()
const tell = (text) => {
  told.push(text)
  next.resolve()
  next = Promise.withResolvers()
}
const until = async (text) => {
  while (!told.includes(text)) await next.promise
}
const log = { warn: () => tell('warned'), info: (fields, message) => tell(message) }
const watch = new CodeWatch(tell, log, { settle: { quietMs: 30, maxMs: 300 }, compareMs: 50 })
const file = (name) => process.argv[2] + '/' + name + '/site.js'
const write = (name) => writeFileSync(file(name), 'something else')
for (const name of ['blog', 'shop', 'wiki']) {
  mkdirSync(process.argv[2] + '/' + name)
  write(name)
}
setInterval(() => {}, 1_000)
const loadedAt = Date.now()
for (const name of ['blog', 'shop', 'wiki']) watch.set(name, [file(name)], loadedAt)
await until('warned')
// The time that the kernel gives a file is some ms behind: until then it would have been written before the load.
while (Date.now() < loadedAt + 20) await new Promise((resolve) => setTimeout(resolve, 5))
write('blog')
// The files are looked at for a while after they were loaded; from now on nothing tells of blog.
await until('blog')
told.length = 0
write('blog')
writeFileSync('/proc/sys/user/max_inotify_watches', '100')
await until('all folders are watched again')
await until('blog')
write('shop')
await until('shop')
console.log(JSON.stringify(told))
process.exit()
`

test('what could not be watched is as soon as the limit is raised, and what was written until then is told', {
  skip: !canUnshare,
}, (t) => {
  const folder = mkdtempSync(`${tmpdir()}/vh-`)
  t.after(() => rmSync(folder, { recursive: true }))

  const { status, stdout, stderr } = inNamespace('max_inotify_watches', folder, LATER_SCRIPT)

  assert.equal(status, 0, stderr)
  const told = JSON.parse(stdout) as string[]
  assert.deepEqual(told.toSorted(), ['all folders are watched again', 'blog', 'shop'])
})

/** Watches a folder that its own user has closed, and prints what is said of it. */
const CLOSED_SCRIPT = `
import { chmodSync, mkdirSync } from 'node:fs'
const { FolderWatch } = await import('${MODULE}')
const said = []
const log = { warn: (fields, message) => said.push({ ...fields, message }), info() {} }
const watch = new FolderWatch({ onEvent() {}, onWatchedLate() {}, isWanted: () => true, maxFolders: 10, log })
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
