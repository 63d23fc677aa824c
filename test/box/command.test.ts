/**
 * Programs of other languages as sites, with what Debian has of them: started, watched, replaced, and ended with all
 * that is theirs.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { makeBox, startBox } from '../helpers/box.ts'

const PACKAGES = ['gunicorn', 'python3-flask', 'python3-cherrypy3', 'php-cli']
const PYTHON = '/usr/bin/python3'

function assertInstalled(): void {
  const { status } = spawnSync('dpkg', ['-s', ...PACKAGES])
  assert.equal(status, 0, `install what is missing: apt-get install -y --no-install-recommends ${PACKAGES.join(' ')}`)
}

const FLASK = `import os, sys
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix
application = Flask(__name__)
application.wsgi_app = ProxyFix(application.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1)
print('flask is loaded', flush=True)
@application.route('/')
def index():
    return f"hello from flask {os.environ.get('COLOUR')} {request.remote_addr} {request.url} {os.getuid()} {os.getcwd()}"
@application.route('/form', methods=['POST'])
def form():
    return f"{request.form['name']} {len(request.files['file'].read())}"
`

const CHERRYPY = `import os, cherrypy
class Root:
    @cherrypy.expose
    def index(self, name='nobody'):
        return f'hello {name} from cherrypy'
cherrypy.config.update({'server.socket_host': '127.0.0.1', 'server.socket_port': int(os.environ['PORT'])})
cherrypy.quickstart(Root())
`

/** Answers with its process, ends, waits and prints as it is asked to. */
const NODE = `const { createServer } = require('node:http')
const { existsSync, writeFileSync } = require('node:fs')
const { spawn } = require('node:child_process')
if (existsSync('broken')) { console.error('cannot start: it is broken'); process.exit(3) }
process.on('SIGTERM', () => { console.log('told to end'); if (!existsSync('stubborn')) process.exit(0) })
console.log('starting', process.env.VERSION ?? '')
const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
createServer((req, res) => {
  if (req.url === '/pid') return res.end(String(process.pid))
  if (req.url === '/child') return res.end(String(child.pid))
  if (req.url === '/exit') process.exit(7)
  // Reads nothing more until it ends.
  if (req.url === '/deaf') return res.end('deaf', () => setImmediate(() => { while (!existsSync('gate')); process.exit(7) }))
  if (req.url === '/env') return res.end(JSON.stringify({ ...process.env, cwd: process.cwd(), uid: process.getuid() }))
  if (req.url === '/held') return setInterval(() => { if (existsSync('gate')) res.end('was held') }, 5)
  if (req.url === '/shout') { for (let i = 0; i < 5000; i++) console.log('line ' + i); console.log('x'.repeat(100000)); return res.end('done') }
  res.end('node ' + (process.env.VERSION ?? ''))
}).listen(process.env.SOCKET ?? Number(process.env.PORT), process.env.SOCKET ? undefined : '127.0.0.1')
`

function command(line: string, files: Record<string, string>, more = ''): SiteFixture {
  return { files, ini: `[site]\ndomains = NAME.test\nroot = ../sites/NAME\ncommand = ${line}\n${more}` }
}

function named(sites: Record<string, SiteFixture>): Record<string, SiteFixture> {
  return Object.fromEntries(
    Object.entries(sites).map(([name, one]) => [name, { ...one, ini: (one.ini ?? '').replaceAll('NAME', name) }]),
  )
}

function node(more = ''): SiteFixture {
  return command(`${process.execPath} app.cjs $SOCKET`, { 'app.cjs': NODE }, more)
}

function isAlive(pid: number): boolean {
  try {
    // What is a zombie has ended.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

/** The names of the programs that its processes run. */
function childrenOf(pid: number): string[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ')
  return children.filter(Boolean).map((child) => readFileSync(`/proc/${child}/comm`, 'latin1').trim())
}

/** Below which so many descriptors of a process are free. */
function numberAfterFree(pid: number, count: number): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let number = 0
  for (let free = 0; free < count; number++) if (!taken.has(number)) free++
  return number
}

async function pidOf(box: Box, site: string): Promise<number> {
  return Number((await box.ask(site, '/pid')).text)
}

test('Flask under gunicorn, CherryPy and PHP run as sites, from their Debian packages', async (t) => {
  assertInstalled()
  const sites = {
    flask: command(`gunicorn -w 2 -b unix:$SOCKET app:application`, { 'app.py': FLASK }, '[env]\nCOLOUR = blue\n'),
    cherrypy: command(`${PYTHON} app.py`, { 'app.py': CHERRYPY }),
    php: command('php -S 127.0.0.1:$PORT -t public', {
      'public/index.php':
        "<?php echo 'hello ' . ($_GET['name'] ?? 'nobody') . ' from php ' . $_SERVER['HTTP_X_FORWARDED_FOR'];",
    }),
  }
  const box = await startBox(t, named(sites))

  const [flask, cherrypy, php] = await Promise.all([
    box.ask('flask', '/?q=1'),
    box.ask('cherrypy', '/?name=Ann'),
    box.ask('php', '/?name=Bob', { headers: { 'x-forwarded-for': '6.6.6.6' } }),
  ])
  const body = [
    '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nAnn',
    '--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n',
  ].join('\r\n')
  const form = await box.ask('flask', '/form', {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=x' },
    body: `${body}${'f'.repeat(1_000_000)}\r\n--x--\r\n`,
  })

  assert.equal(
    flask.text,
    `hello from flask blue 127.0.0.1 http://flask.test:${box.port}/?q=1 ${process.getuid?.()} ${box.dir}/sites/flask`,
  )
  assert.equal(form.text, 'Ann 1000000')
  assert.equal(cherrypy.text, 'hello Ann from cherrypy')
  assert.equal(php.text, 'hello Bob from php 127.0.0.1')
  await box.waitFor('what flask prints', () => box.output.includes('"site":"flask","msg":"flask is loaded"'))
  const { program, state, kind } = (await box.site('flask')) ?? {}
  assert.deepEqual([kind, state, program?.state, program?.starts], ['command', 'live', 'running', 1])
  assert.ok(isAlive(program?.pid ?? 0))
  await box.stop()
  assert.equal(isAlive(program?.pid ?? 0), false)
  assert.deepEqual(readdirSync(join(box.dir, 'run/commands')), [])
})

test('a program is started once for all who wait, stopped when nobody asks, and ended with all that it started', async (t) => {
  const sites = {
    lazy: node('idle = 300ms\n'),
    eager: node('preload = yes\n'),
    talks: node(),
    port: command(`${process.execPath} app.cjs`, { 'app.cjs': NODE }),
  }
  const box = await startBox(t, named(sites), { env: { SECRET: 'of the server' } })
  await box.waitFor('the eager one', async () => (await box.site('eager'))?.program?.state === 'running')
  assert.equal((await box.site('lazy'))?.program?.state, 'stopped')

  const replies = await Promise.all(Array.from({ length: 10 }, () => box.ask('lazy', '/pid')))
  const [pid] = replies.map(({ text }) => Number(text))
  assert.deepEqual(new Set(replies.map(({ text }) => text)), new Set([String(pid)]))
  const child = Number((await box.ask('lazy', '/child')).text)
  await box.waitFor('it to be stopped', async () => (await box.site('lazy'))?.program?.state === 'stopped')
  await box.waitFor('it to end', () => !isAlive(pid ?? 0) && !isAlive(child))
  // On a machine that is busy it may have been stopped between two questions already.
  const { starts = 0 } = (await box.site('lazy'))?.program ?? {}
  assert.equal((await box.ask('lazy')).text, 'node ')
  assert.equal((await box.site('lazy'))?.program?.starts, starts + 1)

  const env = JSON.parse((await box.ask('talks', '/env')).text) as Record<string, string>
  assert.equal(env.cwd, join(box.dir, 'sites/talks'))
  assert.match(env.SOCKET ?? '', /\/run\/commands\/\d+-\d+\/s$/)
  assert.equal(statSync(join(env.SOCKET ?? '', '..')).mode & 0o777, 0o700)
  assert.deepEqual([env.SECRET, env.PORT], [undefined, undefined])
  const ofPort = JSON.parse((await box.ask('port', '/env')).text) as Record<string, string>
  assert.match(ofPort.PORT ?? '', /^[1-6]\d{4}$/)

  await box.ask('talks', '/shout')
  await box.waitFor('the count of what is dropped', () =>
    /"site":"talks","msg":"\d+ more lines in the same second were dropped"/.test(box.output),
  )
  assert.ok(box.output.split('"msg":"line ').length < 1_100)
  assert.ok(Math.max(...box.output.split('\n').map((line) => line.length)) < 9_000)

  const pids = await Promise.all(['eager', 'talks', 'port'].map((site) => pidOf(box, site)))
  const children = await Promise.all(
    ['eager', 'talks', 'port'].map(async (site) => Number((await box.ask(site, '/child')).text)),
  )
  await box.stop('SIGKILL')
  await box.waitFor('everything to end', () => [...pids, ...children].every((one) => !isAlive(one)))
})

test('a program that ends is started again, more and more slowly, and visitors are told', async (t) => {
  const box = await startBox(
    t,
    named({
      app: node(),
      broken: node('[limits]\nqueue_timeout = 20s\n'),
      mute: command('sleep 1000', { x: '' }, '[limits]\nstart_timeout = 300ms\n'),
      gone: command('no-such-program', { x: '' }),
      closed: command('./start.sh', { 'start.sh': '' }),
      shebang: command('./start.sh', { 'start.sh': '#!/no/such/shell' }),
      daemon: command("sh -c 'sleep 1000 &'", { x: '' }),
    }),
  )
  chmodSync(join(box.dir, 'sites/shebang/start.sh'), 0o755)
  box.write('sites/broken/broken', '')

  await box.ask('app')
  assert.equal((await box.ask('app', '/exit')).status, 502)
  assert.equal((await box.ask('app')).text, 'node ')
  assert.equal((await box.ask('app', '/exit')).status, 502)
  await box.waitFor('the brake', async () => (await box.site('app'))?.program?.state === 'throttled')
  const braked = await box.ask('app')
  assert.deepEqual([braked.status, braked.headers['retry-after']], [503, '1'])
  const { state, problems, throttledUntil } = (await box.site('app')) ?? {}
  assert.deepEqual([state, problems], ['failed', ['its command keeps ending (exit code 7)']])
  assert.ok((throttledUntil ?? 0) > Date.now() - 1_000)
  await box.waitFor('it to be back by itself', async () => (await box.site('app'))?.program?.state === 'running')
  assert.equal((await box.ask('app')).text, 'node ')

  const asked = ['broken', 'broken', 'mute', 'gone', 'closed', 'shebang', 'daemon']
  const failed = await Promise.all(asked.map((site) => box.ask(site)))
  assert.deepEqual(
    failed.map(({ status }) => status),
    asked.map(() => 502),
  )
  assert.deepEqual((await box.site('broken'))?.problems, ['its command ended before it listened (exit code 3)'])
  assert.match(
    (await box.site('mute'))?.problems[0] ?? '',
    /^its command did not listen on 127\.0\.0\.1:\d+ \(\$PORT\) within 300 ms; does it listen elsewhere\?$/,
  )
  assert.match((await box.site('gone'))?.problems[0] ?? '', /no-such-program: there is no such program/)
  assert.match(
    (await box.site('closed'))?.problems[0] ?? '',
    /start\.sh: it may not be run: .*\(chmod \+x\).*\/sites\/closed/,
  )
  assert.match(
    (await box.site('shebang'))?.problems[0] ?? '',
    /start\.sh: the program in its first line \(#!\) is not there/,
  )
  assert.deepEqual((await box.site('daemon'))?.problems, [
    'its command ended before it listened (exit code 0); it has to stay in the foreground',
  ])
  await box.waitFor('what it prints', () => box.output.includes('"site":"broken","msg":"cannot start: it is broken"'))
  assert.equal((await box.ask('broken')).status, 503)
})

test('a program that is corrected is started at once: nobody waits for the wrong one, or for its pause', async (t) => {
  const files = { 'app.cjs': NODE, 'mute.cjs': 'setInterval(() => {}, 1000)' }
  const mute = (site: string) =>
    `[site]\ndomains = ${site}.test\nroot = ../sites/${site}\ncommand = ${process.execPath} mute.cjs\n`
  const box = await startBox(
    t,
    named({
      // Longer than this test waits for anything.
      mute: { files, ini: `${mute('NAME')}[limits]\nstart_timeout = 10m\nqueue_timeout = 10m\n` },
      ends: { files, ini: mute('NAME').replace('mute.cjs', 'none.cjs') },
    }),
  )
  const correct = async (site: string): Promise<void> => {
    const file = `sites-available/${site}.ini`
    box.write(file, readFileSync(join(box.dir, file), 'utf8').replace(/(mute|none)\.cjs/, 'app.cjs'))
    await box.reload()
  }

  const waiting = box.ask('mute')
  await box.waitFor('it to be started', async () => (await box.site('mute'))?.program?.pid !== undefined)
  const wrong = (await box.site('mute'))?.program?.pid ?? 0
  await correct('mute')
  assert.equal((await waiting).text, 'node ')
  assert.deepEqual([isAlive(wrong), (await box.site('mute'))?.problems], [false, []])

  assert.equal((await box.ask('ends')).status, 502)
  assert.equal((await box.site('ends'))?.program?.state, 'throttled')
  await correct('ends')
  assert.equal((await box.ask('ends')).text, 'node ')
})

test('what a program had not read when it ended goes to its next start, if it is safe; what it had read does not', async (t) => {
  const box = await startBox(
    t,
    named({ socket: node(), port: command(`${process.execPath} app.cjs`, { 'app.cjs': NODE }) }),
  )
  for (const site of ['socket', 'port']) {
    assert.equal((await box.ask(site, '/deaf')).text, 'deaf')
    const late = ['/', '/', '/'].map((path) => box.ask(site, path))
    const form = box.ask(site, '/', { method: 'POST', body: 'name=Ann' })
    await box.waitFor('them to be sent', async () => (await box.site(site))?.inFlight === 4)
    box.write(`sites/${site}/gate`, '')
    assert.deepEqual(
      (await Promise.all(late)).map(({ text }) => text),
      ['node ', 'node ', 'node '],
      site,
    )
    assert.equal((await form).status, 502)
    assert.equal((await box.site(site))?.program?.starts, 2)

    // The next end is one too many to be by chance: nobody waits for what comes after it.
    assert.equal((await box.ask(site, '/exit')).status, 502)
    await box.waitFor('the brake', async () => (await box.site(site))?.program?.state === 'throttled')
    assert.equal((await box.site(site))?.program?.starts, 2)
  }
})

test('at a reload the new program is ready before the old one goes, and one that fails changes nothing', async (t) => {
  const box = await startBox(t, named({ app: node('[env]\nVERSION = 1\n[limits]\nstop_timeout = 1s\n') }))
  const first = await pidOf(box, 'app')
  const held = box.ask('app', '/held')
  await box.waitFor('it to be held', async () => (await box.site('app'))?.inFlight === 1)
  const failures: string[] = []
  let busy = true
  const visitor = (async () => {
    while (busy) {
      const { status, text } = await box.ask('app')
      if (!text.startsWith('node ')) failures.push(`${status} ${text}`)
    }
  })()

  const ini = readFileSync(join(box.dir, 'sites-available/app.ini'), 'utf8')
  box.write('sites-available/app.ini', ini.replace('VERSION = 1', 'VERSION = 2'))
  await box.reload()
  assert.equal((await box.ask('app')).text, 'node 2')
  assert.equal((await box.site('app'))?.program?.starts, 2)
  const second = await pidOf(box, 'app')
  assert.ok(second !== first && isAlive(first))
  box.write('sites/app/gate', '')
  assert.equal((await held).text, 'was held')
  await box.waitFor('the first to end', () => !isAlive(first))

  await box.reload('app')
  const third = await pidOf(box, 'app')
  assert.notEqual(third, second)
  box.write('sites/app/stubborn', '')
  box.write('sites/app/broken', '')
  await box.reload('app')
  assert.equal(await pidOf(box, 'app'), third)
  const { state, problems } = (await box.site('app')) ?? {}
  assert.deepEqual([state, problems], ['previous', ['its command ended before it listened (exit code 3)']])
  busy = false
  await visitor
  assert.deepEqual(failures, [])

  box.write('sites-available/app.ini', '[site]\ndomains = app.test\nroot = ../sites/app\nkind = static\n')
  await box.reload()
  assert.equal((await box.ask('app', '/app.cjs')).text, NODE)
  await box.waitFor('the stubborn one to be killed', () => !isAlive(third))
})

test('what a program has answered is forgotten with its next version, unless it is to be kept', async (t) => {
  const code = `require('node:http').createServer((req, res) => {
  res.writeHead(200, { 'cache-control': 'max-age=600' }).end(require('node:fs').readFileSync('version', 'utf8') + process.env.EXTRA)
}).listen(require('node:fs').existsSync('broken') ? '/nowhere/at/all' : process.env.SOCKET)`
  const site = (name: string, more: string): SiteFixture => ({
    files: { 'app.cjs': code, version: '1' },
    ini: `[site]\ndomains = ${name}.test\nroot = ../sites/${name}\ncommand = ${process.execPath} app.cjs $SOCKET\ncache = yes\n${more}[env]\nEXTRA = a\n`,
  })
  const box = await startBox(t, { fresh: site('fresh', ''), kept: site('kept', '[cache]\nkeep = yes\n') })
  const answers = async (): Promise<string[]> => [(await box.ask('fresh')).text, (await box.ask('kept')).text]
  const found = [await answers()]

  for (const name of ['fresh', 'kept']) box.write(`sites/${name}/version`, '2')
  found.push(await answers())
  for (const name of ['fresh', 'kept']) await box.reload(name)
  found.push(await answers())
  const ini = readFileSync(join(box.dir, 'sites-available/fresh.ini'), 'utf8')
  box.write('sites-available/fresh.ini', ini.replace('EXTRA = a', 'EXTRA = b'))
  await box.reload()
  found.push(await answers())
  box.write('sites/fresh/version', '3')
  box.write('sites/fresh/broken', '')
  await box.reload('fresh')
  found.push(await answers())

  assert.deepEqual(found, [
    ['1a', '1a'],
    ['1a', '1a'],
    ['2a', '1a'],
    ['2b', '1a'],
    ['2b', '1a'],
  ])
})

test('a reload does not wait for a program that does not come up, and those who wait for it get the next', async (t) => {
  const code = `const fs = require('node:fs')
if (fs.existsSync('mute')) setInterval(() => fs.writeFileSync('seen', ''), 5)
else { ${NODE.replaceAll('const ', 'var ')} }`
  const files = { 'app.cjs': code, mute: '' }
  const box = await startBox(t, named({ app: command('node app.cjs', files, '[limits]\nstart_timeout = 20s\n') }))
  const waiting = box.ask('app')
  await box.waitFor('the program to be started', () => existsSync(join(box.dir, 'sites/app/seen')))
  rmSync(join(box.dir, 'sites/app/mute'))

  const { sites } = await box.reload()

  assert.deepEqual([sites[0]?.program?.state, sites[0]?.program?.starts], ['running', 2])
  assert.equal((await waiting).text, 'node ')
  assert.doesNotMatch(box.output, /command did not come up/)
})

test('of two reloads at once both tell of a program that runs', async (t) => {
  const box = await startBox(t, named({ app: node('') }))
  const first = await pidOf(box, 'app')

  const reports = await Promise.all([box.reload(), box.reload('app')])

  assert.notEqual(await pidOf(box, 'app'), first)
  assert.deepEqual(
    reports.map(({ sites: [app] }) => app?.program?.state),
    ['running', 'running'],
  )
})

test('when the socket of a program is taken away, who comes waits for a fresh one', async (t) => {
  const code = `const fs = require('node:fs')
const wait = setInterval(() => { if (fs.existsSync('open')) { clearInterval(wait); start() } }, 5)
function start() { ${NODE.replaceAll('const ', 'var ')} }`
  const files = { 'app.cjs': code, open: '' }
  const box = await startBox(t, named({ app: command(`${process.execPath} app.cjs $SOCKET`, files) }))
  const takeAway = async (): Promise<void> => {
    const { SOCKET } = JSON.parse((await box.ask('app', '/env')).text) as Record<string, string>
    rmSync(SOCKET ?? '')
  }
  const first = await pidOf(box, 'app')
  await takeAway()
  // It has the one connection that is open.
  const held = box.ask('app', '/held')
  await box.waitFor('it to be held', async () => (await box.site('app'))?.inFlight === 1)
  rmSync(join(box.dir, 'sites/app/open'))

  let isAnswered = false
  const late = box.ask('app', '/pid').finally(() => {
    isAnswered = true
  })
  await box.waitFor('it to wait', async () => isAnswered || (await box.site('app'))?.waiting === 1)
  box.write('sites/app/open', '')
  assert.match((await late).text, /^\d+$/)
  assert.notEqual(Number((await late).text), first)
  box.write('sites/app/gate', '')
  assert.equal((await held).text, 'was held')
  await box.waitFor('the first to end', () => !isAlive(first))

  // One that does not come up: who waits is told, and who has a connection to the one before is served.
  const second = await pidOf(box, 'app')
  await takeAway()
  rmSync(join(box.dir, 'sites/app/gate'))
  box.write('sites/app/broken', '')
  const heldToo = box.ask('app', '/held')
  await box.waitFor('it to be held', async () => (await box.site('app'))?.inFlight === 1)
  assert.equal((await box.ask('app')).status, 502)
  // Further visitors do not have it started again and again: a second passes first.
  const since = performance.now()
  const starts = (await box.site('app'))?.program?.starts ?? 0
  for (let count = 0; count < 4; count++) assert.equal((await box.ask('app')).status, 502)
  const startsSince = ((await box.site('app'))?.program?.starts ?? 0) - starts
  assert.ok(startsSince <= (performance.now() - since) / 1000, `${startsSince} starts`)
  box.write('sites/app/gate', '')
  assert.equal((await heldToo).text, 'was held')
  assert.equal(await pidOf(box, 'app'), second)

  // It is tried again without a visitor.
  rmSync(join(box.dir, 'sites/app/broken'))
  await box.waitFor('the second to end', () => !isAlive(second))
  assert.notEqual(await pidOf(box, 'app'), second)
})

test('a program runs as the user of its site', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const box = makeBox(t, named({ app: node('user = nobody\n') }))
  // What mkdtemp makes is for its owner alone.
  spawnSync('chmod', ['711', box.dir])
  chownSync(join(box.dir, 'sites/app'), 65534, 65534)
  await box.start()

  const env = JSON.parse((await box.ask('app', '/env')).text) as Record<string, string | number>

  assert.equal(env.uid, 65534)
  assert.notEqual(env.HOME, process.env.HOME)
  assert.ok(existsSync(String(env.SOCKET)))
  assert.equal(statSync(join(box.dir, 'run/admin.sock')).mode & 0o777, 0o600)
})

test('a program of another user cannot lead the server to a socket that is not its own', {
  skip: process.getuid?.() === 0 ? false : 'needs root',
}, async (t) => {
  const link = `require('node:fs').symlinkSync(process.argv[3], process.argv[2]); setInterval(() => {}, 1000)`
  const upgrades = `const server = require('node:http').createServer((req, res) => res.end('mine'))
server.on('upgrade', (req, socket) => socket.end('HTTP/1.1 101 Fine\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\nhello'))
server.listen(process.env.SOCKET)`
  const run = `${process.execPath} app.cjs $SOCKET`
  const box = makeBox(
    t,
    named({
      link: command(`${run} ../../run/admin.sock`, { 'app.cjs': link }, 'user = nobody\n'),
      own: command(run, { 'app.cjs': upgrades }, 'user = nobody\n'),
    }),
  )
  spawnSync('chmod', ['711', box.dir])
  // A link is read from where it is.
  const ini = readFileSync(join(box.dir, 'sites-available/link.ini'), 'utf8')
  box.write('sites-available/link.ini', ini.replace('../../run', join(box.dir, 'run')))
  await box.start()
  const upgrade = { connection: 'Upgrade', upgrade: 'x' }

  assert.equal((await box.ask('own')).text, 'mine')
  const head = Object.entries({ host: 'own.test', ...upgrade }).map(([name, value]) => `${name}: ${value}\r\n`)
  const socket = connect(box.port, '127.0.0.1').setEncoding('utf8')
  socket.write(`GET / HTTP/1.1\r\n${head.join('')}\r\n`)
  assert.match((await socket.toArray()).join(''), /^HTTP\/1\.1 101 [\s\S]*\r\n\r\nhello$/)

  assert.equal((await box.ask('link', '/status')).status, 502)
  assert.equal((await box.ask('link', '/status', { headers: upgrade })).status, 502)
  assert.match(box.output, /is no socket of the user 65534/)
})

test('where the server has no descriptor left programs do not start, and it does not end', async (t) => {
  const box = await startBox(t, named({ app: node() }))
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  assert.equal((await box.ask('nobody', '/', { agent })).status, 421)
  const limit = (most: number): unknown => execFileSync('prlimit', ['--pid', String(box.pid), `--nofile=${most}:4096`])

  limit(numberAfterFree(box.pid, 2))
  assert.equal((await box.ask('app', '/', { agent })).status, 502)
  limit(4096)
  assert.match((await box.site('app'))?.problems[0] ?? '', /EMFILE|Too many open files/)
  await box.waitFor('the program', async () => (await box.ask('app')).text === 'node ')
  // The one that ends programs when the server is gone.
  await box.waitFor('the watcher', () => childrenOf(box.pid).includes('sh'))
})
