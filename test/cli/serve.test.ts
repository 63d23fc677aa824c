import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { COMMAND, DEADLINE_MS, makeBox, startBox } from '../helpers/box.ts'
import { makeConfig, SERVER_INI, staticIni, vhostel } from './command.ts'

const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }
/** Answers `/slow` once the file `gate` is there. */
const SLOW = {
  files: {
    'app.mjs': `import { existsSync } from 'node:fs'
      import { setTimeout as wait } from 'node:timers/promises'
      export default async (request) => {
        while (request.url.endsWith('/slow') && !existsSync(import.meta.dirname + '/gate')) await wait(10)
        return new Response('done')
      }`,
  },
}

/** Without the colours that a test runner at a terminal asks for. */
function start(t: TestContext, sites: Record<string, SiteFixture>): Promise<Box> {
  return startBox(t, sites, { env: { FORCE_COLOR: undefined } })
}

test('it prints one table: site, kind, each domain as a link, state; and the size of the pool with its reason', async (t) => {
  const box = await start(t, { hello: { ...HELLO, domains: 'hello.test, www.hello.test, *.hello.test' } })
  box.write('public/index.html', 'static')
  const shown = (pattern: RegExp): Promise<void> =>
    box.waitFor(`${pattern} to be printed`, () => pattern.test(box.output))

  await shown(/^vhostel \d+\.\d+\.\d+ serves 1 site on http:\/\/127\.0\.0\.1:\d+ /m)
  await shown(/^pool: \d+ cores?, \d+ [GM]B: \d+ process(es)? × \d+(–\d+)? threads?/m)
  await shown(
    new RegExp(
      `^SITE +KIND +URL +STATE\nhello +module +http://hello\\.test:${box.port}/ +idle, loads at its first request\n` +
        ` +http://www\\.hello\\.test:${box.port}/\n +\\*\\.hello\\.test\n`,
      'm',
    ),
  )
})

test('sites that are loaded in advance are loading in the table, wherever they live, and live in the next', async (t) => {
  const gated = `import { existsSync } from 'node:fs'
    import { setTimeout as wait } from 'node:timers/promises'
    while (!existsSync('../../gate')) await wait(10)
    export default () => new Response('hello')`
  const site = (more: string): SiteFixture => ({ files: { 'app.mjs': gated }, more: `preload = yes\n${more}` })
  const box = await start(t, {
    alone: site('isolation = process\n'),
    first: site(''),
    lazy: HELLO,
    second: site(''),
    third: site(''),
  })
  const states = async (): Promise<string[]> => (await box.status()).sites.map(({ state }) => state)

  await box.waitFor('the table', () => /^third .*$/m.test(box.output))
  const before = await states()
  const table = [...box.output.matchAll(/^(\w+) +module +http\S+ +(.*)$/gm)].map(([, name, state]) => [name, state])
  box.write('gate', '')

  const idle = 'idle, loads at its first request'
  const shown = { alone: 'loading', first: 'loading', lazy: idle, second: 'loading', third: 'loading' }
  assert.deepEqual(Object.fromEntries(table), shown)
  assert.deepEqual(before, ['loading', 'loading', 'idle', 'loading', 'loading'])
  const live = 'live,live,idle,live,live'
  await box.waitFor('all to be loaded', async () => (await states()).join() === live)
})

test('it starts in a folder that was removed, and where it has too few descriptors it says what to do', async (t) => {
  const under = (line: string): string[] => ['sh', '-c', `${line} && exec "$@"`, 'sh']
  const box = await startBox(t, { hello: HELLO }, { under: under('mkdir gone && cd gone && rmdir ../gone') })
  const without = startBox(t, {}, { under: under('ulimit -n 32') })

  assert.equal((await box.ask('hello')).text, 'hello')
  await assert.rejects(without, /EMFILE: .*: no file descriptor is left; raise LimitNOFILE of the unit, or ulimit -n\n/)
})

test('a site whose file is wrong is shown with its problems, and the others are served', async (t) => {
  const bad = { ini: '[site]\ndomain = bad.test\n' }
  const box = await start(t, { bad, hello: HELLO })

  const reply = await box.ask('hello')

  assert.equal(reply.text, 'hello')
  await box.waitFor('the count', () => box.output.includes(' serves 1 of 2 sites on http'))
  await box.waitFor('the problem to be printed', () =>
    /^bad +- +- +refused\n( {4}.*\n)* {4}sites-enabled\/bad\.ini:2: \[site\] domain: /m.test(box.output),
  )
})

test('a vhostel.ini that cannot be used is told with file, line and key, exit code 78', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') }, '[server]\nlisten = nowhere\nlitsen = 1\n')

  const { code, stdout, stderr } = await vhostel(['serve', '--config', dir])

  assert.deepEqual({ code, stdout }, { code: 78, stdout: '' })
  assert.match(
    stderr,
    /^vhostel\.ini:2: \[server\] listen: .*\nvhostel\.ini:3: \[server\] litsen: .*\nvhostel: .*check/,
  )
})

test('an address in use is told in one line with the cure, exit code 1', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.after(() => other.close())
  const address = `127.0.0.1:${(other.address() as AddressInfo).port}`
  const dir = makeConfig(t, { one: staticIni('one.test') }, `[server]\nlisten = ${address}\n`)

  const { code, stderr } = await vhostel(['serve', '--config', dir])

  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  assert.equal(code, 1)
  assert.deepEqual(lines, [
    `vhostel: ${address} is in use; end the program that listens there, or change [server] listen or run`,
  ])
})

test('a run folder whose path is too long for sockets is told as what else is wrong, and no server can be there', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') }, `${SERVER_INI}run = ${'r'.repeat(110)}\n`)

  const { code, stderr } = await vhostel(['serve', '--config', dir])

  assert.equal(code, 78)
  assert.match(stderr, /^vhostel\.ini:3: \[server\] run: the path .* has \d+ bytes: at most 80, /)
  assert.equal((await vhostel(['status', '--config', dir])).code, 3)
})

test('a run folder that cannot be made is told with the key to change, exit code 1', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') }, `${SERVER_INI}run = vhostel.ini/run\n`)

  const { code, stderr } = await vhostel(['serve', '--config', dir])

  const lines = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  assert.equal(code, 1)
  assert.equal(lines.length, 1, stderr)
  assert.match(
    stderr,
    /^vhostel: the run folder \S+\/vhostel\.ini\/run cannot be made \(ENOTDIR: .*\); set another \[server\] run in vhostel\.ini$/m,
  )
})

test('a second server on one run folder is refused, and the first does not notice', async (t) => {
  const box = await start(t, { hello: HELLO })

  const { code, stderr } = await vhostel(['serve', '--config', box.dir])
  const reply = await box.ask('hello')

  assert.equal(code, 1)
  assert.match(
    stderr,
    new RegExp(`^vhostel: a server \\(pid ${box.pid}\\) is already running on the run folder .*/run; `),
  )
  assert.equal(reply.text, 'hello')
})

test('what a server that was killed left behind is no obstacle for the next', async (t) => {
  const box = await start(t, { hello: HELLO })
  await box.stop('SIGKILL')
  assert.ok(existsSync(join(box.dir, 'run/admin.sock')))

  const list = await vhostel(['list', '--config', box.dir])
  await box.start({ FORCE_COLOR: undefined })

  assert.match(list.stdout, /no server is running/)
  assert.equal((await box.ask('hello')).text, 'hello')
})

test('SIGTERM, SIGINT and SIGQUIT let open requests end, and then it exits with 0', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
    const box = await start(t, { app: SLOW })
    const slow = box.ask('app', '/slow')
    await box.waitFor('the request to be in flight', async () => (await box.site('app'))?.inFlight === 1)

    const ended = box.stop(signal)
    await box.waitFor('new connections to be refused', () => isRefused(box))
    box.write('sites/app/gate', '')

    assert.equal((await slow).text, 'done')
    assert.equal(await ended, 0)
  }
})

test('a second signal ends it at once', async (t) => {
  const box = await start(t, { app: SLOW })
  const slow = box.ask('app', '/slow')
  slow.catch(() => {})
  await box.waitFor('the request to be in flight', async () => (await box.site('app'))?.inFlight === 1)

  const ended = box.stop('SIGTERM')
  await box.waitFor('new connections to be refused', () => isRefused(box))
  process.kill(box.pid, 'SIGTERM')

  assert.equal(await ended, 128 + 15)
  await assert.rejects(slow)
})

test('SIGHUP reloads, and no request notices', async (t) => {
  const box = await start(t, { hello: HELLO })
  await box.ask('hello')
  box.write('sites/hello/app.mjs', "export default () => new Response('changed')")

  process.kill(box.pid, 'SIGHUP')
  await box.waitFor('the new code to answer', async () => (await box.ask('hello')).text === 'changed')

  await box.waitFor('the log to say so', () => box.output.includes('reload is done'))
})

test('reloads that the end of the server comes before are no fault, and none is begun after that', async (t) => {
  const slow = `import { writeFileSync } from 'node:fs'
    writeFileSync(import.meta.dirname + '/begun', '')
    await new Promise(() => setTimeout(() => {}, 60_000))`
  const box = await start(t, { app: SLOW, hello: HELLO })
  await box.ask('hello')
  box.write('sites/hello/app.mjs', slow)
  const open = box.ask('app', '/slow')
  await box.waitFor('the request to be there', async () => (await box.site('app'))?.inFlight === 1)

  process.kill(box.pid, 'SIGHUP')
  await box.waitFor('the load to begin', () => existsSync(join(box.dir, 'sites/hello/begun')))
  process.kill(box.pid, 'SIGHUP')
  await box.waitFor('a reload to wait for it', () => box.output.split('reload was asked for').length === 3)
  const stopped = box.stop()
  await box.waitFor('it to take nothing new', () => isRefused(box))
  process.kill(box.pid, 'SIGHUP')
  box.write('sites/app/gate', '')
  assert.equal((await open).text, 'done')

  assert.equal(await stopped, 0)
  assert.equal(box.output.split('reload was asked for').length, 3)
  assert.doesNotMatch(box.output, /reload failed|TypeError/)
})

test('a SIGHUP that comes while it starts is a reload when it has started', async (t) => {
  const box = makeBox(t, { hello: HELLO })
  const started = box.start({ FORCE_COLOR: undefined })
  await box.waitFor('the start to be under way', () => existsSync(join(box.dir, 'run/pool.sock')))

  process.kill(box.pid, 'SIGHUP')
  await started

  await box.waitFor('the log to say so', () => box.output.includes('reload is done'))
})

test('signals that are for other servers, or for all processes at once, end nothing', async (t) => {
  const box = await start(t, { hello: HELLO })
  await box.ask('hello')
  const pids = async () => (await box.status()).pool.groups.flatMap(({ processes }) => processes.map(({ pid }) => pid))
  const before = await pids()

  process.kill(box.pid, 'SIGUSR2')
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGQUIT', 'SIGHUP'] as const)
    for (const pid of before) process.kill(pid ?? 0, signal)

  await box.waitFor('the log to say so', () => box.output.includes('SIGUSR2 does nothing here'))
  assert.equal((await box.ask('hello')).text, 'hello')
  assert.deepEqual(await pids(), before)
  assert.doesNotMatch(box.output, /Debugger|worker process ended/)
})

test('with no site at all it serves, and says how to get one', async (t) => {
  const box = await start(t, {})

  await box.waitFor('the hint', () => box.output.includes('No site is enabled yet: vhostel enable SITE'))
})

function isRefused(box: Box): Promise<boolean> {
  return box.ask('app').then(
    () => false,
    () => true,
  )
}

test('a server whose output is on a full disk serves, and ends when it is told to', async (t) => {
  const box = makeBox(t, { hello: HELLO })
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))
  const child = spawn(process.execPath, [...COMMAND, 'serve', '--config', box.dir], { stdio: ['ignore', full, full] })
  t.after(() => child.kill('SIGKILL'))

  await box.waitFor('the server to be up', () =>
    box.status().then(
      ({ sites }) => sites.length === 1,
      () => false,
    ),
  )
  const ended = once(child, 'exit', { signal: AbortSignal.timeout(DEADLINE_MS) })
  child.kill('SIGTERM')
  await ended

  assert.equal(child.signalCode, null)
})
