import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FRESH_FILES } from '../../src/cli/fresh-files.ts'
import type { ServerLoad } from '../../src/config/load-server.ts'
import { loadServer } from '../../src/config/load-server.ts'
import { makeBox } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'
import { vhostel } from './command.ts'

test('a fresh configuration has no problem, and says how to go on', async (t) => {
  const dir = join(makeFolder(t), 'my sites')

  const { code, stdout, stderr } = await vhostel(['init', dir])
  const check = await vhostel(['check', '--config', dir])

  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.ok(stdout.includes(`vhostel serve --config '${dir}'\n  curl http://hello.localhost:8080/`), stdout)
  assert.deepEqual({ code: check.code, stderr: check.stderr }, { code: 0, stderr: '' })
  assert.equal(readlinkSync(join(dir, 'sites-enabled/hello.ini')), '../sites-available/hello.ini')
})

test('nothing that is there is overwritten, and then nothing is written at all', async (t) => {
  const dir = makeFolder(t, { 'logging.ini': 'mine' })

  const { code, stdout, stderr } = await vhostel(['init', dir])

  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  assert.match(stderr, new RegExp(`^vhostel: nothing was written, because there is ${dir}/logging.ini already\n$`))
  assert.deepEqual(readdirSync(dir), ['logging.ini'])
  assert.equal(readFileSync(join(dir, 'logging.ini'), 'utf8'), 'mine')
})

test('a folder without a name is not the one that one is in', async (t) => {
  const cwd = makeFolder(t, {})

  const { code, stdout, stderr } = await vhostel(['init', ''], { cwd })

  assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
  assert.match(stderr, /^vhostel: the folder has no name; /)
  assert.deepEqual(readdirSync(cwd), [])
})

test('a place where the kernel makes no folders is told', async () => {
  const { code, stdout, stderr } = await vhostel(['init', '/proc/none/such'])

  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  assert.match(stderr, /^vhostel: ENOENT: no such file or directory, mkdir '\/proc\/none'/)
})

test('the folder may be there already, with other things in it', async (t) => {
  const dir = makeFolder(t, { 'notes.txt': 'mine' })

  const { code } = await vhostel(['init', '.'], { cwd: dir })

  assert.equal(code, 0)
  assert.deepEqual(readdirSync(dir).sort(), [
    'logging.ini',
    'notes.txt',
    'sites',
    'sites-available',
    'sites-enabled',
    'vhostel.ini',
  ])
})

test('a place where the fresh files cannot be used is told at once', async (t) => {
  const dir = join(makeFolder(t), 'very-long-folder-name'.repeat(4))

  const { code, stderr } = await vhostel(['init', dir])

  assert.equal(code, 1)
  assert.match(stderr, /vhostel\.ini:\d+: \[server\] run: the path .* has \d+ bytes/)
})

test('--json has what was written, and what keeps it from being used', async (t) => {
  const dir = makeFolder(t)
  const long = join(dir, 'very-long-folder-name'.repeat(4))

  const good = await vhostel(['init', 'new', '--json'], { cwd: dir })
  const again = await vhostel(['init', 'new', '--json'], { cwd: dir })
  const bad = await vhostel(['init', long, '--json'])

  const { configFile, written, problems } = JSON.parse(good.stdout)
  assert.deepEqual([good.code, good.stderr, configFile, problems], [0, '', join(dir, 'new/vhostel.ini'), []])
  assert.deepEqual(
    written.map((file: string) => existsSync(file)),
    [...Object.keys(FRESH_FILES).map(() => true), true],
  )
  assert.deepEqual([again.code, again.stdout], [1, ''])
  assert.match(again.stderr, /^vhostel: nothing was written/)
  const [problem] = JSON.parse(bad.stdout).problems
  assert.deepEqual([bad.code, bad.stderr, problem.section, problem.key], [1, '', 'server', 'run'])
})

test('the keys that are commented out in the fresh files show the defaults', (t) => {
  const asWritten = makeFolder(t, FRESH_FILES)
  const switchedOn = makeFolder(t)
  cpSync(asWritten, switchedOn, { recursive: true })
  for (const file of ['vhostel.ini', 'logging.ini']) {
    const text = readFileSync(join(switchedOn, file), 'utf8')
    writeFileSync(join(switchedOn, file), text.replace(/^; (\w+ = \S)/gm, '$1').replace('file = log/vhostel.log', ''))
  }

  const [written, on] = [asWritten, switchedOn].map((dir) => loadServer(join(dir, 'vhostel.ini')))

  assert.deepEqual(on?.problems, [])
  assert.deepEqual(on?.draft.pools, written?.draft.pools)
  const log = (load: ServerLoad | undefined) => JSON.stringify(load?.draft.log).replaceAll(load?.draft.dir ?? '', '')
  assert.equal(log(on), log(written))
  assert.equal(on?.draft.defaults.limits.timeout, '60s')
})

test('the fresh site answers', async (t) => {
  const box = makeBox(t, {})
  await vhostel(['init', join(box.dir, 'fresh')])
  box.write('vhostel.ini', '[server]\nlisten = 127.0.0.1:0\nsites = fresh/sites-enabled\n')
  await box.start()

  const reply = await box.ask('hello.localhost', '/<b>')

  assert.equal(reply.status, 200)
  assert.match(reply.text, /<h1>Hello from hello\.localhost<\/h1>/)
  assert.doesNotMatch(reply.text, /<b>/)
})
