/** What a person is told who may not: which folder or file is closed, to whom, and what to do. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { makeBox } from '../helpers/box.ts'
import type { Outcome } from './command.ts'
import { makeConfig, staticIni, vhostel } from './command.ts'

const AS_ROOT = { skip: process.getuid?.() !== 0 && 'needs root' }
const NOBODY = { uid: 65534, gid: 65534 }

function asNobody(...args: string[]): Promise<Outcome> {
  return vhostel(args, NOBODY)
}

/** A configuration of one site that everybody may read. */
function openConfig(t: TestContext): string {
  const dir = makeConfig(t, { shop: staticIni('shop.test') })
  chmodSync(dir, 0o755)
  return dir
}

test('of a root below a closed folder it is told which folder, and to whom', AS_ROOT, async (t) => {
  const dir = openConfig(t)
  chmodSync(join(dir, 'public'), 0o700)
  chmodSync(join(dir, 'public/index.html'), 0o644)
  const deep = makeConfig(t, { shop: staticIni('shop.test').replace('../public', `${dir}/public/deep`) })
  chmodSync(deep, 0o755)

  const { code, stderr } = await asNobody('check', '--config', deep)

  assert.equal(code, 1, stderr)
  assert.match(
    stderr,
    /shop\.ini:4: \[site\] root: ".*" cannot be looked at: permission denied: user nobody may not pass/,
  )
  assert.ok(stderr.includes(`may not pass through ${dir}/public\n`), stderr)
})

test('a vhostel.ini in a closed folder is not said to be missing without that', AS_ROOT, async (t) => {
  const dir = openConfig(t)
  chmodSync(dir, 0o700)

  const { code, stderr } = await asNobody('status', '--config', join(dir, 'vhostel.ini'))

  assert.equal(code, 78, stderr)
  assert.ok(stderr.includes(`vhostel.ini (permission denied: user nobody may not pass through ${dir})`), stderr)
})

test('who may not read vhostel.ini is not told that no server is running', AS_ROOT, async (t) => {
  const dir = openConfig(t)
  chmodSync(join(dir, 'vhostel.ini'), 0o600)

  for (const command of ['status', 'serve', 'list']) {
    const { code, stderr } = await asNobody(command, '--config', dir)

    assert.equal(code, 78, stderr)
    assert.ok(stderr.includes(`${dir}/vhostel.ini: permission denied for user nobody\n`), stderr)
  }
})

test('a run folder that another user left behind is told at the start', AS_ROOT, async (t) => {
  const dir = openConfig(t)
  mkdirSync(join(dir, 'run'), { mode: 0o700 })

  const { code, stderr } = await asNobody('serve', '--config', dir)

  assert.equal(code, 1, stderr)
  assert.match(stderr, /^vhostel: user nobody may not write to the run folder \S+\/run; .*chown/)
})

test('who may not ask the running server is told who may', AS_ROOT, async (t) => {
  const box = makeBox(t, {})
  chmodSync(box.dir, 0o755)
  await box.start()

  const { code, stderr } = await asNobody('status', '--config', box.dir)

  assert.equal(code, 1, stderr)
  assert.match(stderr, /admin\.sock is open to root only, and this is user nobody; run the command by sudo\n$/)
})
