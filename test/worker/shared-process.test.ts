/**
 * Sites that change the state of the process they share, or close what is not theirs: neither the neighbours in the same
 * thread nor vhostel notice. And a site in a process of its own, which has the real one.
 */

import assert from 'node:assert/strict'
import { mkdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeFolder } from '../helpers/folder.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { startThread, WorkerDriver } from '../helpers/thread-driver.ts'

type Context = Parameters<typeof writeSite>[0]

const CALM = `
  process.on('SIGTERM', () => console.log('told to stop'))
  module.exports = (req, res) => setTimeout(() => res.end('calm'), 1)`
const FAILING = "module.exports = () => { setTimeout(() => { throw new Error('nobody listens') }, 1) }"
const EXITING = 'module.exports = (req, res) => { res.end(); process.exit() }'

async function site(t: Context, thread: DrivenThread, generation: number, text: string): Promise<string> {
  const folder = realpathSync(writeSite(t, { 'main.cjs': text }))
  await thread.loadWell({ generation, module: join(folder, 'main.cjs'), root: folder })
  return folder
}

/** A thread with a calm site (1), one that throws (2), one that exits (3), and one that does `code` at a request (4). */
async function neighbours(t: Context, code: string): Promise<DrivenThread> {
  const thread = await startThread(t)
  await site(t, thread, 1, CALM)
  await site(t, thread, 2, FAILING)
  await site(t, thread, 3, EXITING)
  await site(t, thread, 4, `module.exports = (req, res) => { ${code}; res.end('done') }`)
  return thread
}

/** That neighbours and vhostel are as ever: answers, errors, exits, orders to stop. */
async function assertUnharmed(thread: DrivenThread): Promise<void> {
  assert.equal((await thread.get(1)).text, 'calm')
  assert.equal((await thread.get(2)).status, 500)
  await thread.log(2, /nobody listens/)
  await thread.get(3)
  await thread.log(3, /^site called process\.exit\(0\)$/)
  await thread.unload(1)
  await thread.log(1, /^told to stop$/)
  assert.equal(thread.isClosed, false)
}

const HARMLESS: Record<string, string> = {
  'takes all listeners off': `process.removeAllListeners()
    for (const name of ['uncaughtException', 'unhandledRejection', 'message', 'disconnect', 'exit', 'SIGTERM'])
      process.removeAllListeners(name)
    for (const name of process.eventNames()) process.removeAllListeners(name)`,
  'listens to every signal': `for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGCHLD']) process.on(name, () => {})`,
  'sends events to the process': `for (const name of ['SIGTERM', 'SIGINT', 'disconnect', 'message', 'own']) process.emit(name)`,
  'captures uncaught errors': 'process.setUncaughtExceptionCaptureCallback(() => {})',
  'uses the old bindings': `for (const name of ['fs', 'tcp_wrap', 'natives', 'nothing']) {
      try { for (let fd = 0; fd < 64; fd++) { try { process.binding(name).close(fd) } catch {} } } catch {}
    }`,
  'loads an add-on that is not there': "try { process.dlopen({ exports: {} }, '/nowhere/add-on.node') } catch {}",
}

for (const [what, code] of Object.entries(HARMLESS)) {
  test(`a site that ${what} harms nobody`, async (t) => {
    const thread = await neighbours(t, code)

    assert.equal((await thread.get(4)).text, 'done')

    await assertUnharmed(thread)
    assert.deepEqual(thread.offences, [])
  })
}

const ENDING: [what: string, code: string, log: RegExp][] = [
  ['calls process.abort', 'process.abort()', /^site called process\.exit\(134\)$/],
  ['calls process.reallyExit', 'process.reallyExit(3)', /^site called process\.exit\(3\)$/],
  ['kills its process', "process.kill(process.pid, 'SIGKILL')", /^site called process\.exit\(1\)$/],
  ['kills the server', "process.kill(process.ppid, 'SIGKILL')", /kill EPERM/],
  ['kills the whole group', "process.kill(0, 'SIGKILL')", /kill EPERM/],
  ['kills all there is', "process.kill(-1, 'SIGKILL')", /kill EPERM/],
]

for (const [what, code, log] of ENDING) {
  test(`a site that ${what} ends its own request alone`, async (t) => {
    const thread = await neighbours(t, code)

    assert.equal((await thread.get(4)).status, 500)

    await thread.log(4, log)
    await assertUnharmed(thread)
  })
}

test('an exit code that a site has set does not end the process with it', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread()
  await site(t, thread, 1, 'process.exitCode = 7; module.exports = (req, res) => res.end()')
  await thread.get(1)

  worker.order({ type: 'stop', thread: 1, graceMs: 5_000 })

  assert.equal((await worker.report('ended')).code, 0)
})

test('a site may close the files it has opened, and no other descriptor', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, CALM)
  const text = `
    const fs = require('fs')
    const attempt = (fd) => { try { fs.closeSync(fd); return 'closed' } catch (error) { return error.code } }
    module.exports = (req, res) => {
      const own = fs.openSync(__filename)
      const answers = { own: attempt(own) }
      // Sockets, what the event loop has, and numbers that another thread may have in a moment.
      const others = Array.from({ length: 64 }, (_, fd) => fd)
      answers.others = [...new Set(others.map(attempt))]
      const later = fs.openSync(__filename)
      fs.close(4, (foreign) => fs.close(later, (error) => {
        fs.createReadStream(__filename).resume().on('close', () =>
          res.end(JSON.stringify({ ...answers, foreign: foreign.code, later: error })))
      }))
    }`
  await site(t, thread, 2, text)

  const reply = await thread.get(2)

  assert.deepEqual(reply.json, { own: 'closed', others: ['EBADF'], foreign: 'EBADF', later: null })
  assert.equal((await thread.get(1)).text, 'calm')
})

test('standard output that a site has ended or destroyed is open to its neighbours', async (t) => {
  const thread = await startThread(t)
  const seen = 'JSON.stringify([process.stdout.writable, process.stdout.destroyed, process.stderr.writable])'
  await site(t, thread, 1, `module.exports = (req, res) => { console.log('still here'); res.end(${seen}) }`)
  const text = `module.exports = (req, res) => {
    process.stderr.destroy()
    process.stdout.end('the last\\n', () => res.end())
  }`
  await site(t, thread, 2, text)

  await thread.get(2)

  await thread.log(2, /^the last$/)
  assert.deepEqual((await thread.get(1)).json, [true, false, true])
  await thread.log(1, /^still here$/)
})

test('a site cannot close a file of its neighbour, which a second close of its own would hit', async (t) => {
  const thread = await startThread(t)
  const keeper = `
    const fs = require('fs')
    const { once } = require('events')
    let sync, later, stream
    module.exports = async (req, res) => {
      if (req.url === '/open') {
        sync = fs.openSync(__filename)
        later = await new Promise((resolve) => fs.open(__filename, (error, fd) => resolve(fd)))
        stream = fs.createReadStream(__filename)
        await once(stream, 'open')
        return res.end(JSON.stringify([sync, later, stream.fd]))
      }
      const read = (fd) => fs.readSync(fd, Buffer.alloc(3), 0, 3, 0)
      const seen = [read(sync), read(later), read(stream.fd)]
      stream.resume()
      await once(stream, 'close')
      fs.closeSync(sync)
      await new Promise((resolve, reject) => fs.close(later, (error) => (error ? reject(error) : resolve())))
      res.end(JSON.stringify(seen))
    }`
  await site(t, thread, 1, keeper)
  const text = `
    const fs = require('fs')
    const own = []
    const attempt = (fd) => { try { fs.closeSync(fd); return 'closed' } catch (error) { return error.code } }
    module.exports = (req, res) => {
      if (req.url === '/open') {
        while (own.length < 3) own.push(fs.openSync(__filename))
        const numbers = own.slice()
        for (const fd of own) fs.closeSync(fd)
        return res.end(JSON.stringify(numbers))
      }
      const answers = JSON.parse(req.headers.numbers).map((fd) => attempt(fd))
      fs.close(JSON.parse(req.headers.numbers)[1], (error) => res.end(JSON.stringify([...answers, error.code])))
    }`
  await site(t, thread, 2, text)
  // The same numbers for both, as the kernel gives the lowest that is free.
  const before = (await thread.get(2, '/open')).json as number[]
  const numbers = (await thread.get(1, '/open')).text
  assert.ok(before.includes((JSON.parse(numbers) as number[])[0] ?? -1))

  const reply = await thread.get(2, '/', { headers: ['Host', 'test.example', 'numbers', numbers] })

  assert.deepEqual(reply.json, ['EBADF', 'EBADF', 'EBADF', 'EBADF'])
  assert.deepEqual((await thread.get(1)).json, [3, 3, 3])
})

test('what one generation of a site has opened, the next may close', async (t) => {
  const thread = await startThread(t)
  const text = `
    const fs = require('fs')
    module.exports = (req, res) => {
      const { fd } = req.headers
      if (fd === undefined) return res.end(String(fs.openSync(__filename)))
      fs.closeSync(Number(fd))
      res.end('closed')
    }`
  const folder = realpathSync(writeSite(t, { 'main.cjs': text }))
  for (const generation of [1, 2])
    await thread.loadWell({ generation, site: 'one', module: join(folder, 'main.cjs'), root: folder })

  const fd = (await thread.get(1)).text

  assert.equal((await thread.get(2, '/', { headers: ['Host', 'test.example', 'fd', fd] })).text, 'closed')
})

test('in a process of its own a site has the real working directory and mask', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread({ alone: true })
  const text = `
    const fs = require('fs')
    const { execSync } = require('child_process')
    const seen = () => [process.cwd(), fs.realpathSync('.'), fs.readlinkSync('/proc/self/cwd'), String(execSync('pwd')).trim()]
    module.exports = (req, res) => {
      const before = seen()
      process.chdir('sub')
      const after = seen()
      let code
      try { process.chdir('nowhere') } catch (error) { code = error.code }
      const masks = [process.umask(0o027), process.umask()]
      fs.writeFileSync('made', '')
      res.end(JSON.stringify({ before, after, code, mask: masks[1] }))
    }`
  const folder = makeFolder(t)
  mkdirSync(join(folder, 'sub'))
  const module = join(writeSite(t, { 'main.cjs': text }), 'main.cjs')
  await thread.loadWell({ generation: 1, module, root: folder })

  const reply = await thread.get(1)

  const sub = join(folder, 'sub')
  assert.deepEqual(reply.json, {
    before: [folder, folder, folder, folder],
    after: [sub, sub, sub, sub],
    code: 'ENOENT',
    mask: 0o027,
  })
  assert.equal(statSync(join(sub, 'made')).mode & 0o777, 0o640)
})

test('a site sees a main thread, and nothing of the way to the supervisor', async (t) => {
  const code = `const threads = require('node:worker_threads')
    const { parentPort, workerData, isMainThread } = threads
    module.exports = (req, res) => {
      import('node:worker_threads').then((esm) => res.end(JSON.stringify([
        isMainThread, parentPort, workerData, esm.isMainThread, esm.parentPort, esm.workerData,
      ])))
    }`
  const thread = await startThread(t)
  await site(t, thread, 1, code)

  const answer = await thread.get(1)

  assert.equal(answer.text, '[true,null,null,true,null,null]')
})

test('a file of variables is for the environment of the site that loads it', async (t) => {
  const thread = await startThread(t)
  const text = `
    module.exports = (req, res) => {
      let code
      try { process.loadEnvFile('nowhere') } catch (error) { code = error.code }
      if (process.env.READS) { process.loadEnvFile(); process.loadEnvFile(require('url').pathToFileURL(__dirname + '/more.env')) }
      const { FROM_FILE, BOTH, MORE } = process.env
      res.end(JSON.stringify({ code, FROM_FILE, BOTH, MORE }))
    }`
  const files = { 'main.cjs': text, '.env': 'FROM_FILE="a b"\nBOTH=file', 'more.env': 'MORE=more' }
  for (const [generation, env] of [
    [1, { READS: 'yes', BOTH: 'ini' }],
    [2, {}],
  ] as const) {
    const folder = writeSite(t, files)
    await thread.loadWell({ generation, module: join(folder, 'main.cjs'), root: folder, env })
  }

  const [first, second] = [await thread.get(1), await thread.get(2)]

  assert.deepEqual(first.json, { code: 'ENOENT', FROM_FILE: 'a b', BOTH: 'ini', MORE: 'more' })
  assert.deepEqual(second.json, { code: 'ENOENT' })
})

test('a site is told why it cannot change the mask of a process that sites share', async (t) => {
  const thread = await startThread(t)
  const code = `module.exports = (req, res) => {
    const before = process.umask()
    try { process.umask(0o077) } catch (error) { res.end([error.code, error.message, before === process.umask()].join('; ')) }
  }`
  await site(t, thread, 1, code)

  const { text } = await thread.get(1)

  assert.match(text, /^ERR_WORKER_UNSUPPORTED_OPERATION; .*'isolation = process' gives the site one of its own; true$/)
})

const BINDINGS = ['bind()', 'bind(done)', 'bind(0, done)', "bind(0, '127.0.0.1', done)", 'bind({ port: 0 }, done)']

for (const binding of BINDINGS) {
  test(`a site has real sockets for datagrams: ${binding}`, async (t) => {
    const thread = await startThread(t)
    const code = `module.exports = (req, res) => {
      const socket = require('node:dgram').createSocket('udp4')
      let calls = 0
      const done = () => calls++
      socket.on('message', (message) => socket.close(() => res.end(message + ' ' + calls)))
      socket.on('listening', () => setImmediate(() => socket.send('hello', socket.address().port, '127.0.0.1')))
      socket.${binding}
    }`
    await site(t, thread, 1, code)

    const { text } = await thread.get(1)

    assert.equal(text, binding.includes('done') ? 'hello 1' : 'hello 0')
  })
}

const CLOCK =
  "module.exports = (req, res) => res.end(new Date(0).getHours() + ' ' + Intl.DateTimeFormat().resolvedOptions().timeZone)"

test('in a process of its own a site has the time zone of its environment', async (t) => {
  const worker = await WorkerDriver.start(t)
  const thread = await worker.startThread({ alone: true })
  const folder = writeSite(t, { 'main.cjs': CLOCK })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs'), env: { TZ: 'Asia/Tokyo' } })

  assert.equal((await thread.get(1)).text, '9 Asia/Tokyo')
  assert.deepEqual(thread.logs, [])
})

test('a site is told of variables that come too late for its process', async (t) => {
  const thread = await startThread(t)
  const folder = writeSite(t, { 'main.cjs': CLOCK })
  const late = { TZ: 'Asia/Tokyo', NODE_OPTIONS: '--import ./first.js', UV_THREADPOOL_SIZE: '8' }
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs'), env: late })
  const { PATH = '' } = process.env
  await thread.loadWell({ generation: 2, module: join(folder, 'main.cjs'), env: { PATH, NAME: 'x' } })

  await thread.log(
    1,
    /^TZ .* does nothing, .*: 'isolation = process' gives the site a process with a time zone of its own$/,
  )
  await thread.log(1, /^NODE_OPTIONS .*: import what it names in the first line of the module$/)
  await thread.log(1, /^UV_THREADPOOL_SIZE .*: start vhostel itself with it$/)
  assert.deepEqual(
    thread.logs.filter(({ generation }) => generation !== 1),
    [],
  )
})

test('a site may end the group of a program that it has started apart, and no other', async (t) => {
  const thread = await startThread(t)
  const text = `
    const { spawn } = require('child_process')
    const { readFileSync } = require('fs')
    const attempt = (pid) => { try { return process.kill(pid, 'SIGKILL') } catch (error) { return error.code } }
    module.exports = async (req, res) => {
      const child = spawn('sleep', ['60'], { detached: true })
      const answers = { own: attempt(-child.pid) }
      answers.signal = await new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal)))
      const groupOf = (pid) => Number(readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ')[1].split(' ')[2])
      answers.process = attempt(-groupOf(process.pid))
      answers.server = attempt(-groupOf(process.ppid))
      answers.all = attempt(-1)
      answers.none = attempt(-child.pid)
      res.end(JSON.stringify(answers))
    }`
  await site(t, thread, 1, text)

  assert.deepEqual((await thread.get(1)).json, {
    own: true,
    signal: 'SIGKILL',
    process: 'EPERM',
    server: 'EPERM',
    all: 'EPERM',
    none: 'ESRCH',
  })
})
