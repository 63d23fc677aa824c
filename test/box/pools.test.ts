/**
 * Named pools, processes of a site’s own, users, and threads that come, go and are replaced while there are requests.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { GroupStatus } from '../../src/admin/reports.ts'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { makeBox, startBox } from '../helpers/box.ts'

const ONE = '[pool]\nprocesses = 1\nthreads = 1'

/** Answers with what it knows of where it runs. */
const WHERE = `const { readFileSync } = require('node:fs')
module.exports = (req, res) => res.end(JSON.stringify({
  pid: process.pid, uid: process.getuid(), gid: process.getgid(), cwd: process.cwd(), home: process.env.HOME,
  osHome: require('node:os').homedir(),
  real: require('node:child_process').execSync('pwd').toString().trim(),
  relative: readFileSync('note.txt', 'utf8'),
}))`

function site(more = ''): SiteFixture {
  return { files: { 'app.cjs': WHERE, 'note.txt': 'mine' }, more }
}

/** Blocks its thread for as long as it is asked to, and says in which thread that was. */
const WORK = `const { threadId } = require('node:worker_threads')
module.exports = (req, res) => {
  const until = performance.now() + Number(req.url.slice(1))
  while (performance.now() < until);
  res.end(process.pid + ':' + threadId)
}`

async function where(box: Box, name: string): Promise<Record<string, unknown>> {
  return JSON.parse((await box.ask(name)).text)
}

async function group(box: Box, name: string): Promise<GroupStatus | undefined> {
  return (await box.status()).pool.groups.find((one) => one.name === name)
}

function lines(box: Box, message: string): Record<string, unknown>[] {
  return box.output
    .split('\n')
    .filter((line) => line.includes(`"msg":"${message}`))
    .map((line) => JSON.parse(line))
}

test('sites that name a pool share its processes, and no others', async (t) => {
  const more = 'pool = shop\n'
  const sites = { a: site(), b: site(), shop1: site(more), shop2: site(more) }
  const box = await startBox(t, sites, { config: `${ONE}\n[pool shop]\nthreads = 1` })

  const [a, b, shop1, shop2] = await Promise.all(Object.keys(sites).map((name) => where(box, name)))

  assert.equal(a?.pid, b?.pid)
  assert.equal(shop1?.pid, shop2?.pid)
  assert.notEqual(a?.pid, shop1?.pid)
  assert.deepEqual(
    (await box.status()).pool.groups.map(({ name, ready }) => [name, ready]),
    [
      ['default', 1],
      ['shop', 1],
    ],
  )
})

test('a site that changes its pool moves there, and no request fails', async (t) => {
  const box = await startBox(t, { a: site() }, { config: `${ONE}\n[pool shop]\nthreads = 1` })
  const before = await where(box, 'a')
  const ini = readFileSync(`${box.dir}/sites-available/a.ini`, 'utf8')
  const pids = new Set<unknown>()

  box.write('sites-available/a.ini', `${ini}pool = shop\n`)
  await box.waitFor('the site to be in the other pool', async () => {
    const reply = await box.ask('a')
    assert.equal(reply.status, 200)
    pids.add(JSON.parse(reply.text).pid)
    return pids.size === 2
  })

  assert.ok(pids.has(before.pid))
  assert.equal((await box.site('a'))?.residency?.group, 'shop')
})

test('isolation = process gives a site a process of its own, with the real working directory', async (t) => {
  const box = await startBox(t, { a: site(), alone: site('isolation = process\n') }, { config: ONE })

  const [a, alone] = [await where(box, 'a'), await where(box, 'alone')]

  assert.notEqual(a.pid, alone.pid)
  assert.equal(alone.cwd, `${box.dir}/sites/alone`)
  assert.equal(alone.real, `${box.dir}/sites/alone`)
  assert.equal(alone.relative, 'mine')
})

test('a site alone is loaded from the folder that was put in the place of its own', async (t) => {
  const box = await startBox(t, { alone: site('isolation = process\n') }, { config: ONE })
  const folder = join(box.dir, 'sites/alone')
  const before = await where(box, 'alone')

  cpSync(folder, `${folder}.new`, { recursive: true })
  box.write('sites/alone.new/note.txt', 'new')
  rmSync(folder, { recursive: true })
  renameSync(`${folder}.new`, folder)
  const report = await box.reload('alone')

  assert.deepEqual(report.sites[0]?.problems, [])
  assert.deepEqual(await where(box, 'alone'), { ...before, relative: 'new' })
})

test('a site alone that ends its process is throttled, and its visitors are told when to come again', async (t) => {
  const code = `const { execSync } = require('node:child_process')
module.exports = (req, res) => {
  if (req.url === '/end') execSync('kill -SEGV ' + process.pid)
  res.end('here')
}`
  const box = await startBox(
    t,
    { a: { files: { 'app.cjs': code }, more: 'isolation = process\n' }, b: site() },
    { config: ONE },
  )
  assert.equal((await box.ask('a')).text, 'here')

  const ended = await box.ask('a', '/end')
  const meanwhile = await box.ask('a')

  assert.equal(ended.status, 502)
  assert.equal(meanwhile.status, 503)
  assert.match(String(meanwhile.headers['retry-after']), /^[1-9]\d*$/)
  assert.equal((await box.ask('b')).status, 200)
  await box.waitFor('the site to be back', async () => (await box.ask('a')).text === 'here')
})

test('a pool runs as its user, and a site alone as its own', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const sites = { a: site(), alone: site('isolation = process\nuser = 54322\n') }
  const box = makeBox(t, sites, { config: `${ONE}\nuser = 54321\n` })
  chmodSync(box.dir, 0o755)
  await box.start()

  const [a, alone] = [await where(box, 'a'), await where(box, 'alone')]

  assert.deepEqual([a.uid, a.gid], [54321, 54321])
  assert.deepEqual([alone.uid, alone.gid], [54322, 54322])
})

test('a site whose folder its user may not enter says which folder, and whose user it is', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const sites = { a: site(), b: { files: { 'app.cjs': "require('node:fs').readFileSync('secret')", secret: 'x' } } }
  const box = makeBox(t, sites, { config: `${ONE}\nuser = nobody\n` })
  chmodSync(box.dir, 0o755)
  chmodSync(`${box.dir}/sites/a`, 0o700)
  chmodSync(`${box.dir}/sites/b/secret`, 0o600)
  await box.start()

  assert.deepEqual([(await box.ask('a')).status, (await box.ask('b')).status], [502, 502])

  const closed = `permission denied: user nobody may not pass through ${box.dir}/sites/a`
  assert.match((await box.site('a'))?.problems[0] ?? '', new RegExp(`module cannot be looked at: ${closed}$`))
  assert.match((await box.site('b'))?.problems[0] ?? '', /secret'; the site runs as user nobody$/)
})

/** What the system says of a user. */
function userOf(name: string): { uid: number; home: string | undefined } {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const [, , uid, , , home] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? []
  return { uid: Number(uid), home }
}

test('sites of a pool with a user, and one with its own, are at home where that user is, and programs without one run as it too', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const program = `node -e "require('http').createServer((_, r) => r.end(JSON.stringify({ uid: process.getuid(), home: process.env.HOME }))).listen(process.env.SOCKET)" $SOCKET`
  const ini = `[site]\ndomains = program.test\nroot = ../sites/a\ncommand = ${program}\n`
  const alone = site('isolation = process\nuser = games\n')
  const box = makeBox(t, { a: site(), alone, program: { ini } }, { config: `${ONE}\nuser = daemon\n` })
  chmodSync(box.dir, 0o755)
  await box.start({ HOME: '/root' })

  const [a, own, one] = [await where(box, 'a'), await where(box, 'alone'), await where(box, 'program')]

  const [daemon, games] = [userOf('daemon'), userOf('games')]
  assert.deepEqual([a.uid, a.home, a.osHome], [daemon.uid, daemon.home, daemon.home])
  assert.deepEqual([own.uid, own.home, own.osHome], [games.uid, games.home, games.home])
  assert.deepEqual(one, daemon)
})

test('a pool grows while there is more work than its threads can do', async (t) => {
  const config = '[pool]\nprocesses = 1\nthreads = 1..3'
  const box = await startBox(t, { a: { files: { 'app.cjs': WORK } } }, { config })

  await box.waitFor('the pool to have three threads', async () => {
    const replies = await Promise.all(Array.from({ length: 12 }, () => box.ask('a', '/20')))
    assert.ok(replies.every(({ status }) => status === 200))
    return (await group(box, 'default'))?.size === 3
  })

  const [first] = lines(box, 'number of threads changes')
  assert.deepEqual([first?.from, first?.to], [1, 2])
  await box.waitFor('them to be ready', async () => (await group(box, 'default'))?.ready === 3)
})

test('a thread is replaced after so many requests, and no request notices', async (t) => {
  const config = `${ONE}\nmax_requests = 50`
  const box = await startBox(t, { a: { files: { 'app.cjs': WORK } } }, { config })
  const threads = new Set<string>()

  await box.waitFor('another thread', async () => {
    const reply = await box.ask('a', '/0')
    assert.equal(reply.status, 200)
    threads.add(reply.text)
    return threads.size === 2
  })

  assert.match(String(lines(box, 'thread is replaced')[0]?.why), /^it has answered \d+ requests \(max_requests = 50\)$/)
})

test('a thread that takes too much memory is replaced, and a neighbour’s request does not notice', async (t) => {
  const leak = `const kept = []
module.exports = (req, res) => { kept.push(Buffer.alloc(4 * 1024 * 1024, 1)); res.end('x') }`
  const config = `${ONE}\nthread_memory = 96MB`
  const box = await startBox(t, { leak: { files: { 'app.cjs': leak } }, a: site() }, { config })

  await box.waitFor('the thread to be replaced', async () => {
    assert.equal((await box.ask('leak')).status, 200)
    assert.equal((await box.ask('a')).status, 200)
    return lines(box, 'thread is replaced').length > 0
  })

  assert.match(String(lines(box, 'thread is replaced')[0]?.why), /more than thread_memory \(96 MB\)$/)
})

test('a site that nobody uses is dropped from memory, and loaded again when it is asked for', async (t) => {
  const loads = `console.log('loaded'); module.exports = (req, res) => res.end('here')`
  const files = { 'app.cjs': loads }
  const more = 'idle = 1s\n'
  const sites = { a: { files, more }, kept: { files, more: `${more}preload = yes\n` } }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 2' })
  await box.waitFor('the preloaded site to be there', async () => (await box.site('kept'))?.threads === 1)
  await box.ask('a')
  assert.equal((await box.site('a'))?.threads, 1)

  await box.waitFor('the site to be dropped', async () => (await box.site('a'))?.threads === 0)

  assert.equal((await box.site('kept'))?.threads, 1)
  assert.equal((await box.ask('a')).text, 'here')
  assert.equal(lines(box, 'loaded').filter((line) => line.site === 'a').length, 2)
})

test('a process of a site’s own ends with the site’s idle time', async (t) => {
  const box = await startBox(t, { a: site('isolation = process\nidle = 1s\n') }, { config: ONE })
  const before = await where(box, 'a')

  await box.waitFor('the process to end', async () => (await group(box, 'site:a')) === undefined)

  const after = await where(box, 'a')
  assert.notEqual(after.pid, before.pid)
})

test('an idle process of a site’s own stays while a WebSocket is open in it', async (t) => {
  const more = 'isolation = process\nidle = 1s\n'
  const echo = `const http = require('node:http')
http.createServer((req, res) => res.end('here')).on('upgrade', (req, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n')
  socket.pipe(socket)
}).listen(process.env.PORT)`
  const sites = { chat: { files: { 'app.cjs': echo }, more }, other: site(more) }
  const box = await startBox(t, sites, { config: ONE })
  const socket = connect(box.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: chat.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n')
  const [head] = (await once(socket, 'data')) as [Buffer]
  assert.match(head.toString(), /^HTTP\/1.1 101 /)

  await where(box, 'other')
  await box.waitFor('the process without a connection to end', async () => !(await group(box, 'site:other')))

  assert.equal((await group(box, 'site:chat'))?.ready, 1)
  socket.write('still here')
  const [echoed] = (await once(socket, 'data')) as [Buffer]
  assert.equal(echoed.toString(), 'still here')
})

test('a process of a site’s own that had to be started again ends too when nobody uses it', async (t) => {
  const sites = { a: site(), alone: site('isolation = process\nidle = 1s\n') }
  const box = await startBox(t, sites, { config: ONE })
  const { pid } = await where(box, 'alone')

  process.kill(Number(pid), 'SIGKILL')
  await box.waitFor('the process to be started again', async () => {
    const again = (await group(box, 'site:alone'))?.processes[0]
    return again !== undefined && again.pid !== pid
  })

  await box.waitFor('the process to end', async () => {
    // Visits of another: the pool is looked at more often.
    await where(box, 'a')
    return (await group(box, 'site:alone')) === undefined
  })
})

test('a process of a site’s own that is started again is where the site is by then', async (t) => {
  const box = await startBox(t, { a: site('isolation = process\n') }, { config: ONE })
  const { pid } = await where(box, 'a')
  const move = (ini: string): string => ini.replace('root = ../sites/a', 'root = ../sites/later')
  box.write('sites/later/note.txt', 'later')
  box.write('sites/later/app.cjs', WHERE.replace('pid:', 'isLater: true, pid:'))
  box.write('sites-available/a.ini', move(readFileSync(`${box.dir}/sites-available/a.ini`, 'utf8')))
  await box.waitFor('the site to move', async () => (await where(box, 'a')).isLater === true)

  rmSync(`${box.dir}/sites/a`, { recursive: true })
  process.kill(Number(pid), 'SIGKILL')

  await box.waitFor('the site to be back', async () => {
    const reply = await box.ask('a')
    return reply.status === 200 && JSON.parse(reply.text).pid !== pid
  })
  assert.equal((await where(box, 'a')).real, `${box.dir}/sites/later`)
})

test('a site whose folder has moved is loaded from the new one, though its process could not be started without it', async (t) => {
  const box = await startBox(t, { a: site('isolation = process\n') }, { config: ONE })
  const { pid } = await where(box, 'a')
  renameSync(`${box.dir}/sites/a`, `${box.dir}/sites/moved`)
  process.kill(Number(pid), 'SIGKILL')
  await box.waitFor('a start to fail', () => box.output.includes('sites/a is not there'))

  const ini = readFileSync(`${box.dir}/sites-available/a.ini`, 'utf8')
  box.write('sites-available/a.ini', ini.replace('root = ../sites/a', 'root = ../sites/moved'))
  await box.reload('a')

  assert.equal((await where(box, 'a')).real, `${box.dir}/sites/moved`)
})

test('new code of a site that ended its process again and again is started at once', async (t) => {
  const ends = `require('node:child_process').execSync('kill -SEGV ' + process.pid)`
  const sites = { a: { files: { 'app.cjs': ends }, more: 'isolation = process\npreload = yes\n' } }
  const box = await startBox(t, sites, { config: ONE })
  const lastWaitMs = (): unknown => lines(box, 'worker process ended').at(-1)?.waitMs
  await box.waitFor('a long wait', () => lastWaitMs() === 8_000)
  const ended = lines(box, 'worker process ended').length

  box.write('sites/a/app.cjs', `module.exports = (req, res) => res.end('here')`)
  const since = performance.now()
  await box.reload('a')
  const tookMs = performance.now() - since

  assert.equal((await box.ask('a')).text, 'here')
  assert.equal(lines(box, 'worker process ended').length, ended)
  assert.ok(tookMs < 5_000, `${tookMs} ms`)
})

test('a site that ended its process again and again, and gets another pool, is served from there at once', async (t) => {
  const code = `module.exports = (req, res) => {
  if (req.url === '/end') require('node:child_process').execSync('kill -SEGV ' + process.pid)
  res.end('here')
}`
  const sites = { a: { files: { 'app.cjs': code }, more: 'isolation = process\n' } }
  const box = await startBox(t, sites, { config: `${ONE}\n[pool shop]\nthreads = 1` })
  const lastWaitMs = (): unknown => lines(box, 'worker process ended').at(-1)?.waitMs
  await box.waitFor('a long wait', async () => {
    await box.ask('a', '/end')
    return lastWaitMs() === 8_000
  })
  assert.equal((await box.ask('a')).status, 503)

  const ini = readFileSync(`${box.dir}/sites-available/a.ini`, 'utf8')
  box.write('sites-available/a.ini', `${ini}pool = shop\n`)
  await box.reload()

  assert.equal((await box.ask('a')).text, 'here')
})

test('a site alone whose user changes runs as the new one, and no request fails', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const box = makeBox(t, { alone: site('isolation = process\nuser = 54322\n') }, { config: ONE })
  chmodSync(box.dir, 0o755)
  await box.start()
  assert.equal((await where(box, 'alone')).uid, 54322)

  const ini = readFileSync(`${box.dir}/sites-available/alone.ini`, 'utf8')
  box.write('sites-available/alone.ini', ini.replace('54322', '54323'))

  await box.waitFor('the site to run as the other user', async () => {
    const reply = await box.ask('alone')
    assert.equal(reply.status, 200)
    return JSON.parse(reply.text).uid === 54323
  })
})

/** Its folder belongs to `uid`, and nobody else may enter it. */
function give(box: Box, name: string, uid: number): void {
  for (const path of [`sites/${name}/app.cjs`, `sites/${name}`]) chownSync(`${box.dir}/${path}`, uid, uid)
  chmodSync(`${box.dir}/sites/${name}`, 0o700)
}

for (const [what, before, after] of [
  ['its user', 'isolation = process\nuser = 54322\n', 'isolation = process\nuser = 54323\n'],
  ['its isolation, and with it its user', '', 'isolation = process\nuser = 54323\n'],
  ['its pool, and with it its user', '', 'pool = other\n'],
] as const) {
  test(`a site that changes ${what}, and whose files are now that user's alone, is proven as that user`, {
    skip: process.getuid?.() !== 0 && 'needs root',
  }, async (t) => {
    const code = 'module.exports = (req, res) => res.end(String(process.getuid()))'
    const config = `${ONE}\nuser = 54322\n[pool other]\nuser = 54323\n`
    const box = makeBox(t, { a: { files: { 'app.cjs': code }, more: before } }, { config })
    chmodSync(box.dir, 0o755)
    give(box, 'a', 54322)
    await box.start()
    assert.equal((await box.ask('a')).text, '54322')
    const old = readFileSync(`${box.dir}/sites-available/a.ini`, 'utf8')
    const ini = `${old.replace(before.trim(), '')}\n${after}`

    box.write('sites-available/a.ini', ini)
    const refused = await box.reload()
    const meanwhile = await box.ask('a')
    give(box, 'a', 54323)
    const taken = await box.reload('a')

    assert.match(refused.sites[0]?.problems.join() ?? '', /permission denied/)
    assert.deepEqual([meanwhile.status, meanwhile.text], [200, '54322'])
    assert.deepEqual(taken.sites[0]?.problems, [])
    assert.equal((await box.ask('a')).text, '54323')
    await box.waitFor('the trials to end', async () => (await group(box, 'site:a:trial')) === undefined)
  })
}

test('a run folder that the user of a pool cannot reach is told at the start', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const box = makeBox(t, {}, { config: `${ONE}\nuser = 54321\n` })
  chmodSync(box.dir, 0o700)

  await assert.rejects(
    box.start(),
    (error: Error) =>
      error.message.includes(`user 54321 cannot pass through ${box.dir}`) && error.message.includes('chmod'),
  )
})
