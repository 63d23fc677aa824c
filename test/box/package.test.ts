/** The package as npm installs it in an empty folder: its command works, with its own Node and without its sources. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { VERSION } from '../../src/core/version.ts'
import { DEADLINE_MS, send } from '../helpers/box.ts'

const run = promisify(execFile)
const REPOSITORY = resolve(import.meta.dirname, '../..')
/** Packages come from the registry, or from npm's cache. */
const INSTALL_DEADLINE_MS = 180_000
/** Without the 190 MB of a Node of its own. */
const MAX_INSTALLED_BYTES = 60 * 1024 ** 2

let dir: string
let command: string
/** The Node that runs the tests goes before any other: a user's would be new enough too. */
const env = {
  ...process.env,
  FORCE_COLOR: undefined,
  PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
}

before(
  async () => {
    dir = mkdtempSync(join(tmpdir(), 'vh-pack-'))
    await run(process.execPath, ['scripts/pack.ts', dir], { cwd: REPOSITORY, env })
    const home = join(dir, 'home')
    mkdirSync(home)
    writeFileSync(join(home, 'package.json'), '{"name":"home","private":true}')
    await run('npm', ['install', '--no-audit', '--no-fund', `../vhostel-${VERSION}.tgz`], { cwd: home, env })
    command = join(home, 'node_modules/.bin/vhostel')
  },
  { timeout: INSTALL_DEADLINE_MS },
)

after(() => rmSync(dir, { recursive: true, force: true }))

/** A fresh configuration, as the package writes it, at any free port. */
async function init(site: string): Promise<void> {
  await run(command, ['init', site], { env })
  const fresh = readFileSync(join(site, 'vhostel.ini'), 'utf8')
  writeFileSync(join(site, 'vhostel.ini'), fresh.replace('127.0.0.1:8080', '127.0.0.1:0'))
}

test('the package is JavaScript without its sources, and brings no Node of its own', () => {
  const installed = join(dir, 'home/node_modules/vhostel')

  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))

  assert.deepEqual(readdirSync(installed).sort(), [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'bin',
    'dist',
    'docs',
    'etc-example',
    'package.json',
  ])
  assert.equal(manifest.optionalDependencies, undefined)
  assert.equal(manifest.scripts, undefined)
  assert.ok(sizeOf(join(dir, 'home/node_modules')) < MAX_INSTALLED_BYTES)
})

test('the installed command explains itself, writes a configuration, checks it and serves it', async (t) => {
  const site = join(dir, 'site')

  const help = await run(command, ['--help'], { env })
  await init(site)
  const check = await run(command, ['check', '--config', site], { env })
  const server = spawn(command, ['serve', '--config', site], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => server.kill('SIGKILL'))
  const port = await portOf(server)
  const reply = await send({ host: '127.0.0.1', port, headers: { host: 'hello.localhost' } })
  const list = await run(command, ['list', '--json', '--config', site], { env })
  server.kill('SIGTERM')
  const [code] = await once(server, 'exit', { signal: AbortSignal.timeout(DEADLINE_MS) })

  assert.match(help.stdout, /^Usage: vhostel /)
  assert.match(check.stdout, /all is well, 1 site/)
  assert.equal(reply.status, 200)
  assert.match(reply.text, /Hello from hello\.localhost/)
  assert.equal(JSON.parse(list.stdout).sites[0].state, 'live')
  assert.equal(code, 0)
})

test('a package that was installed over the one that runs is spoken of when a process of it starts', async (t) => {
  const site = join(dir, 'upgraded')
  await init(site)
  const server = spawn(command, ['serve', '--config', site], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => server.kill('SIGKILL'))
  const spoken = lineOf(server, /worker process runs another version/)
  const port = await portOf(server)
  const manifest = join(dir, 'home/node_modules/vhostel/package.json')
  const before = readFileSync(manifest, 'utf8')
  t.after(() => writeFileSync(manifest, before))

  writeFileSync(manifest, before.replace(VERSION, '99.0.0'))
  const workers = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(' ')
  for (const pid of workers) process.kill(Number(pid), 'SIGKILL')
  const reply = await send({ host: '127.0.0.1', port, headers: { host: 'hello.localhost' } })

  assert.equal(reply.status, 200)
  const { version, server: running } = JSON.parse(await spoken)
  assert.deepEqual([version, running], ['99.0.0', VERSION])
})

test('what a server could not load while its package was away is loaded once that is back', async (t) => {
  const site = join(dir, 'away')
  const packages = join(dir, 'home/node_modules')
  await init(site)
  const server = spawn(command, ['serve', '--config', site], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => server.kill('SIGKILL'))
  const said = lineOf(server, /cannot be put in service/)
  await portOf(server)
  const question = { socketPath: join(site, 'run/admin.sock'), path: '/status', agent: false }

  renameSync(packages, `${packages}.away`)
  try {
    writeFileSync(
      join(site, 'sites-enabled/front.ini'),
      '[site]\ndomains = front.test\nupstream = http://127.0.0.1:1\n',
    )
    assert.equal(JSON.parse(await said).site, 'front')
    // Nothing is left to be loaded for that.
    assert.equal((await send(question)).status, 200)
  } finally {
    renameSync(`${packages}.away`, packages)
  }
  const before = JSON.parse((await send(question)).text).sites
  await run(command, ['reload', '--config', site], { env })
  const after = JSON.parse((await send(question)).text).sites

  const states = (sites: { name: string; state: string }[]) => sites.map(({ name, state }) => `${name} ${state}`)
  assert.deepEqual(states(before), ['front refused', 'hello idle'])
  assert.match(before[0].problems[0], /^it cannot be put in service: Cannot find module/)
  assert.deepEqual(states(after), ['front live', 'hello idle'])
})

test('what plain npm pack makes in a checkout works too, and brings its own Node where it can', async () => {
  const folder = join(dir, 'plain')
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{"name":"plain","private":true}')

  await run('npm', ['pack', '--pack-destination', folder], { cwd: REPOSITORY, env })
  await run('npm', ['install', '--no-audit', '--no-fund', `./vhostel-${VERSION}.tgz`], { cwd: folder, env })
  const version = await run('npm', ['exec', '--', 'vhostel', 'version', '--json'], { cwd: folder, env })

  assert.equal(JSON.parse(version.stdout).vhostel, VERSION)
})

/** Reads the port from the start table. */
async function portOf(server: ChildProcess): Promise<number> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  let output = ''
  for (;;) {
    const [chunk] = await once(server.stdout as NodeJS.ReadableStream, 'data', { signal })
    output += chunk
    const port = /hello\.localhost:(\d+)/.exec(output)?.[1]
    if (port !== undefined) return Number(port)
  }
}

/** The next line of its standard error that looks like this. */
async function lineOf(server: ChildProcess, wanted: RegExp): Promise<string> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  for await (const line of createInterface({ input: server.stderr as NodeJS.ReadableStream, signal })) {
    if (wanted.test(line)) return line
  }
  throw new Error(`no line came like ${wanted}`)
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
