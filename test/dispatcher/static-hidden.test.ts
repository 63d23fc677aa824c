import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pino } from 'pino'
import type { StaticSettings } from '../../src/config/site-static.ts'
import { FailureLog } from '../../src/dispatcher/failure-log.ts'
import { HotFiles } from '../../src/dispatcher/hot-files.ts'
import { siteFolders } from '../../src/dispatcher/static-folder.ts'
import { ask, openFilesIn, serve, until } from '../helpers/static-server.ts'

const HIDDEN = [
  '/.env',
  '/.git/config',
  '/sub/.htpasswd',
  '/%2eenv',
  '/.',
  '/..',
  '/../secret.txt',
  '/sub/../../secret.txt',
  '/sub/../a.txt',
  '/%2e%2e/secret.txt',
  '/..%2fsecret.txt',
  '/%2e%2e%2fsecret.txt',
  '/sub%2f..%2f..%2fsecret.txt',
  '//../secret.txt',
  '/./../secret.txt',
  '/....//secret.txt',
  '/.well-known/../.env',
  '/.well-known/.hidden',
  '/sub/.well-known/x',
  '/..\\secret.txt',
  '/%5c..%5csecret.txt',
  '/%252e%252e/secret.txt',
  '/a.txt/',
  '/a.txt/b',
  '/missing.txt',
  `/${'a'.repeat(300)}`,
  '*',
]

test('nothing hidden and nothing outside of the root is found, however the path is spelt', async (t) => {
  const names = ['.env', '.git/config', 'sub/.htpasswd', '.well-known/.hidden', 'sub/.well-known/x', 'a.txt']
  const served = await serve(t, Object.fromEntries(names.map((name) => [name, 'secret'])))
  writeFileSync(join(served.dir, 'secret.txt'), 'secret')

  for (const target of HIDDEN) {
    const answer = await ask(served, target)

    assert.equal(answer.status, 404, target)
    assert.doesNotMatch(answer.body.toString(), /secret/, target)
  }
})

test('what stands under /.well-known is served', async (t) => {
  const served = await serve(t, { '.well-known/acme-challenge/token': 'proof' })

  assert.equal((await ask(served, '/.well-known/acme-challenge/token')).body.toString(), 'proof')
})

test('bad escapes and NUL are bad requests', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' })

  for (const target of ['/%', '/%zz', '/a%e4.txt', '/a.txt%00', '/%00', '/%c0%ae%c0%ae/secret.txt']) {
    assert.equal((await ask(served, target)).status, 400, target)
  }
})

test('a link within the root is followed, one that leaves it is not', async (t) => {
  const served = await serve(t, { 'sub/a.txt': 'inside', 'sub/index.html': 'inside' })
  const root = join(served.dir, 'root')
  mkdirSync(join(served.dir, 'root-twin'))
  for (const name of ['secret.txt', 'root-twin/index.html']) writeFileSync(join(served.dir, name), 'secret')
  symlinkSync('sub/a.txt', join(root, 'good.txt'))
  symlinkSync('sub', join(root, 'good'))
  symlinkSync('../secret.txt', join(root, 'bad.txt'))
  symlinkSync(join(served.dir, 'root-twin'), join(root, 'bad'))
  symlinkSync('/etc/passwd', join(root, 'passwd'))
  symlinkSync('/dev/zero', join(root, 'zero'))
  symlinkSync('loop', join(root, 'loop'))
  mkdirSync(join(root, 'sub2'))
  symlinkSync('../../secret.txt', join(root, 'sub2/index.html'))

  assert.equal((await ask(served, '/good.txt')).body.toString(), 'inside')
  assert.equal((await ask(served, '/good/')).body.toString(), 'inside')
  assert.equal((await ask(served, '/good')).status, 301)
  for (const target of ['/bad.txt', '/bad', '/bad/', '/bad/index.html', '/passwd', '/zero', '/sub2/', '/loop']) {
    assert.equal((await ask(served, target)).status, 404, target)
  }
  assert.equal((await ask(served, '/bad.txt', ['If-Match: "x"'])).status, 404)
  await until('all files are closed', () => openFilesIn(served.dir) === 0)
})

test('a root that is a link is followed anew for each request', async (t) => {
  const served = await serve(t, { 'a.txt': 'old' })
  const root = join(served.dir, 'root')
  renameSync(root, join(served.dir, 'release1'))
  mkdirSync(join(served.dir, 'release2'))
  writeFileSync(join(served.dir, 'release2/a.txt'), 'new')
  symlinkSync('release1', root)

  const before = await ask(served, '/a.txt')
  unlinkSync(root)
  symlinkSync('release2', root)
  const after = await ask(served, '/a.txt')

  assert.deepEqual([before.body.toString(), after.body.toString()], ['old', 'new'])
})

test('a pipe in the root is not found, and blocks nothing', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' })
  execFileSync('mkfifo', [join(served.dir, 'root/pipe')])

  // More than the threads that the system's calls have, all of which a blocking open would take.
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(served, '/pipe')))

  assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([404]))
  assert.equal((await ask(served, '/a.txt')).status, 200)
})

test('a file or a folder that may not be read is forbidden', async (t) => {
  const served = await serve(t, { 'a.txt': 'a', 'sub/b.txt': 'b' })
  chmodSync(served.dir, 0o755)
  chmodSync(join(served.dir, 'root/a.txt'), 0)
  chmodSync(join(served.dir, 'root/sub'), 0)
  const isRoot = process.geteuid?.() === 0 // who may read everything

  if (isRoot) process.seteuid?.(65_534)
  const answers = await Promise.all([ask(served, '/a.txt'), ask(served, '/sub/b.txt')]).finally(() => {
    if (isRoot) process.seteuid?.(0)
  })

  assert.deepEqual(
    answers.map((answer) => answer.status),
    [403, 403],
  )
})

test('a file that cannot be read is told to the log of its site', async (t) => {
  const lines: Record<string, unknown>[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const settings = { mounts: [], immutable: [], try: ['$uri'] } as unknown as StaticSettings
  const config = { name: 'www', kind: 'static', root: '/', static: settings, backend: undefined } as const
  const { root } = siteFolders(config, new HotFiles(), new FailureLog(log))
  const served = await serve(t, { 'a.txt': 'a' }, [], () => {}, { onUnread: root?.onUnread ?? (() => {}) })
  const file = join(served.dir, 'root/a.txt')
  chmodSync(served.dir, 0o755)
  chmodSync(file, 0)
  const isRoot = process.geteuid?.() === 0

  if (isRoot) process.seteuid?.(65_534)
  await Promise.all([ask(served, '/a.txt?b'), ask(served, '/none.txt')]).finally(() => {
    if (isRoot) process.seteuid?.(0)
  })

  assert.deepEqual(
    lines.map(({ level, site, method, url, status, msg }) => ({ level, site, method, url, status, msg })),
    [{ level: 40, site: 'www', method: 'GET', url: '/a.txt?b', status: 403, msg: 'request failed' }],
  )
  assert.match(String(lines[0]?.reason), new RegExp(`^EACCES: permission denied, open '${file}'$`))
})

test('a root that is gone finds nothing, and is served again when it is back', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' })
  const root = join(served.dir, 'root')

  renameSync(root, join(served.dir, 'away'))
  const gone = await ask(served, '/a.txt')
  renameSync(join(served.dir, 'away'), root)

  assert.equal(gone.status, 404)
  assert.equal((await ask(served, '/a.txt')).status, 200)
})

test('a page is made for the client, and names neither path nor site', async (t) => {
  const served = await serve(t, {})

  const text = await ask(served, '/missing.txt')
  const html = await ask(served, '/missing.txt', ['Accept: text/html'])

  assert.equal(text.body.toString(), '404 Not Found\nThere is no such page here.\n')
  assert.equal(html.headers['content-type'], 'text/html; charset=utf-8')
  assert.doesNotMatch(html.body.toString(), /missing|vhostel|a\.test/)
})
