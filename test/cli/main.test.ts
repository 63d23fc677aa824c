import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { test } from 'node:test'
import { VERSION } from '../../src/core/version.ts'
import { COMMAND, DEADLINE_MS } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'
import { makeConfig, SERVER_INI, staticIni, vhostel } from './command.ts'

const ESCAPE = '\u001b['
const COMMANDS = [
  'serve',
  'check',
  'list',
  'status',
  'stack',
  'advise',
  'match',
  'enable',
  'disable',
  'reload',
  'cache',
  'init',
  'version',
]

test('without a command it shows the help, as wrong usage', async () => {
  const { code, stdout, stderr } = await vhostel([])

  assert.equal(code, 2)
  assert.equal(stdout, '')
  for (const command of COMMANDS) assert.match(stderr, new RegExp(`^  ${command}\\b`, 'm'))
})

test('every command explains itself with an example', async () => {
  const answers = await Promise.all(COMMANDS.map((command) => vhostel([command, '--help'])))

  for (const [index, { code, stdout, stderr }] of answers.entries()) {
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    assert.match(stdout, new RegExp(`Examples:\\n  \\$ (sudo )?vhostel ${COMMANDS[index]}`))
    assert.match(stdout, /--config <file>/)
  }
})

test('a command, an option or an argument that does not exist is wrong usage: exit code 2', async () => {
  const command = await vhostel(['chek'])
  const option = await vhostel(['check', '--jsn'])
  const missing = await vhostel(['enable'])
  const extra = await vhostel(['version', 'more'])

  assert.deepEqual([command.code, option.code, missing.code, extra.code], [2, 2, 2, 2])
  assert.match(command.stderr, /unknown command 'chek'\n\(Did you mean check\?\)/)
  assert.match(option.stderr, /Did you mean --json\?/)
  assert.match(missing.stderr, /missing required argument 'site'/)
})

test('the configuration is named by --config before or behind the command, by file or by folder', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') })

  const before = await vhostel(['--config', dir, 'check'])
  const behind = await vhostel(['check', '-c', `${dir}/vhostel.ini`])

  assert.equal(before.code, 0, before.stderr)
  assert.deepEqual(behind, before)
})

test('without --config it is found in $VHOSTEL_HOME, else here', async (t) => {
  const here = makeFolder(t, { 'vhostel.ini': SERVER_INI, 'sites-enabled/.keep': '' })
  const home = makeFolder(t, { 'vhostel.ini': SERVER_INI, 'sites-enabled/.keep': '' })

  const byFolder = await vhostel(['check'], { cwd: here })
  const byHome = await vhostel(['check'], { cwd: here, env: { VHOSTEL_HOME: home } })

  assert.match(byFolder.stdout, new RegExp(`^${here}/vhostel.ini: all is well`))
  assert.match(byHome.stdout, new RegExp(`^${home}/vhostel.ini: all is well`))
})

test('with no configuration anywhere it says where it looked, and exits 78', async (t) => {
  const empty = makeFolder(t)

  const outcomes = [await vhostel(['check'], { cwd: empty }), await vhostel(['list', '--config', empty])]

  for (const { code, stderr } of outcomes) {
    assert.equal(code, 78)
    assert.match(
      stderr,
      new RegExp(`^vhostel: no vhostel.ini found; looked at .*${empty}/vhostel.ini; .*vhostel init DIR`),
    )
  }
})

test('below the floor it says which Node runs and which is needed, in one line, and exits 78', async (t) => {
  const dir = makeFolder(t, {
    'old.mjs': `const versions = { ...process.versions, node: '20.11.1' }
      const real = process
      globalThis.process = new Proxy(real, { get: (_, key) => (key === 'versions' ? versions : Reflect.get(real, key)) })`,
  })

  const { code, stdout, stderr } = await vhostel(['version'], { nodeArgs: ['--import', `${dir}/old.mjs`] })

  assert.equal(code, 78)
  assert.equal(stdout, '')
  assert.match(stderr, /^vhostel: this is Node 20\.11\.1, Node 24\.15 or newer is needed: .*\n$/)
})

test('there are colours where they are asked for, and none in a pipe', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') })

  const piped = await vhostel(['list', '--config', dir])
  const forced = await vhostel(['list', '--config', dir], { env: { FORCE_COLOR: '1' } })

  assert.ok(!piped.stdout.includes(ESCAPE))
  assert.ok(forced.stdout.includes(ESCAPE))
})

test('a terminal gets colours, and none where NO_COLOR is set', (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') })
  // In CI Node takes terminals for such without colours.
  const { FORCE_COLOR: _forced, NO_COLOR: _none, NODE_DISABLE_COLORS: _disabled, CI: _ci, ...env } = process.env
  const command = [process.execPath, ...COMMAND, 'list', '--config', dir].map((word) => `'${word}'`).join(' ')
  // script(1) runs a command in a terminal of its own, and passes on what that shows.
  const inTerminal = (more: NodeJS.ProcessEnv): string => {
    const options = {
      env: { ...env, TERM: 'xterm-256color', ...more },
      encoding: 'utf8',
      timeout: DEADLINE_MS,
    } as const
    const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], options)
    assert.equal(status, 0, stdout)
    return stdout
  }

  const coloured = inTerminal({})
  const plain = inTerminal({ NO_COLOR: '1' })

  assert.ok(coloured.includes(ESCAPE))
  assert.match(plain, /one\.test/)
  assert.ok(!plain.includes(ESCAPE))
})

test('a reader that goes away early is not a failure', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') })
  const child = spawn(process.execPath, [...COMMAND, 'list', '--config', dir], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (text) => {
    stderr += text
  })

  child.stdout.destroy()
  await once(child, 'close')

  assert.deepEqual({ code: child.exitCode, stderr }, { code: 0, stderr: '' })
})

test('a command that is given in a folder that was removed needs none, or says that it is gone', (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') })
  const gone = (...args: string[]) => {
    const command = ['-c', 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', 'sh', process.execPath, ...COMMAND]
    return spawnSync('sh', [...command, ...args], { cwd: dir, encoding: 'utf8', timeout: DEADLINE_MS })
  }

  const found = gone('check', '--config', dir)
  const relative = gone('check', '--config', 'vhostel.ini')
  const init = gone('init', 'fresh')

  assert.deepEqual([found.status, found.stderr], [0, ''])
  assert.equal(relative.status, 78)
  assert.match(
    relative.stderr,
    /looked at vhostel\.ini in the current folder, which was removed: cd to one that is there;/,
  )
  assert.deepEqual(
    [init.status, init.stderr],
    [1, 'vhostel: the current folder was removed: cd to one that is there\n'],
  )
})

test('version says what a report of a fault needs', async () => {
  const text = await vhostel(['version'])
  const json = await vhostel(['version', '--json'])
  const short = await vhostel(['--version'])

  assert.equal(text.stdout, `vhostel ${VERSION}, Node ${process.versions.node}, ${process.platform} ${process.arch}\n`)
  assert.equal(JSON.parse(json.stdout).vhostel, VERSION)
  assert.equal(short.stdout, `${VERSION}\n`)
})

test('a result that cannot be written is a failure, told in one line', async (t) => {
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))
  const child = spawn(process.execPath, [...COMMAND, 'version'], { stdio: ['ignore', full, 'pipe'] })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  await once(child, 'close')

  assert.equal(child.exitCode, 1)
  assert.equal(stderr, 'vhostel: standard output cannot be written: ENOSPC: no space left on device, write\n')
})
