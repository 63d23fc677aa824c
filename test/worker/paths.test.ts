/**
 * Relative paths of sites lead from their own working directories.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import { startThread, WorkerDriver } from '../helpers/thread-driver.ts'

test('files are found from the folder of the site, in each way of asking', async (t) => {
  const thread = await startThread(t)
  const text = `
    import fs, { readFileSync, createReadStream } from 'node:fs'
    import { readFile, writeFile, mkdtemp } from 'node:fs/promises'
    import { text } from 'node:stream/consumers'
    import { promisify } from 'node:util'
    export default async (req, res) => {
      const seen = [
        readFileSync('data.txt', 'utf8'),
        await readFile('./data.txt', 'utf8'),
        await promisify(fs.readFile)('sub/../data.txt', 'utf8'),
        await text(createReadStream('data.txt')),
        fs.existsSync('data.txt'), fs.existsSync('nope.txt'), await promisify(fs.exists)('data.txt'),
        fs.realpathSync.native('.'), fs.statSync('sub').isDirectory(), await (await fs.openAsBlob('data.txt')).text(),
      ]
      await writeFile('written.txt', 'written')
      fs.renameSync('written.txt', 'renamed.txt')
      fs.symlinkSync('data.txt', 'link.txt')
      seen.push(fs.readlinkSync('link.txt'), (await mkdtemp('sub/')).includes('sub/'))
      process.chdir('sub')
      seen.push(readFileSync('other.txt', 'utf8'), fs.existsSync(''))
      process.chdir('..')
      try { readFileSync('nope.txt') } catch (error) { seen.push(error.code) }
      res.end(JSON.stringify(seen))
    }`
  const files = { 'main.mjs': text, 'data.txt': 'data', 'sub/other.txt': 'other' }
  const [one, two] = [writeSite(t, files), writeSite(t, { ...files, 'data.txt': 'data of two' })]
  await thread.loadWell({ generation: 1, module: join(one, 'main.mjs') })
  await thread.loadWell({ generation: 2, module: join(two, 'main.mjs') })

  const [first, second] = await Promise.all([thread.get(1), thread.get(2)])

  const rest = ['data.txt', true, 'other', false, 'ENOENT']
  const seenBy = (data: string, folder: string) => [
    data,
    data,
    data,
    data,
    true,
    false,
    true,
    folder,
    true,
    data,
    ...rest,
  ]
  assert.deepEqual(first.json, seenBy('data', one))
  assert.deepEqual(second.json, seenBy('data of two', two))
  assert.equal(readFileSync(join(one, 'renamed.txt'), 'utf8'), 'written')
})

test('processes of a site start in its folder, with its environment', async (t) => {
  const thread = await startThread(t)
  const text = `
    const { spawnSync, execSync, execFileSync, execFile, exec } = require('child_process')
    const { promisify } = require('util')
    module.exports = async (req, res) => {
      const seen = [
        String(execSync('pwd')), String(execFileSync('pwd')), String(spawnSync('pwd').stdout), String(spawnSync('pwd', [], { cwd: 'sub' }).stdout),
        (await promisify(execFile)('pwd')).stdout, (await promisify(exec)('echo $NAME')).stdout, String(execSync('pwd', { cwd: '/' })),
      ]
      res.end(JSON.stringify(seen.map((line) => line.trim())))
    }`
  const folder = writeSite(t, { 'main.cjs': text, 'sub/x': '' })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs'), env: { NAME: 'own' } })

  const reply = await thread.get(1)

  assert.deepEqual(reply.json, [folder, folder, folder, join(folder, 'sub'), folder, 'own', '/'])
})

test('databases of node:sqlite are files of the site, however the module is had', async (t) => {
  const thread = await startThread(t)
  const text = `
    import { createRequire } from 'node:module'
    import { existsSync } from 'node:fs'
    import { DatabaseSync, backup } from 'node:sqlite'
    const ways = {
      import: DatabaseSync,
      require: createRequire(import.meta.url)('node:sqlite').DatabaseSync,
      builtin: process.getBuiltinModule('node:sqlite').DatabaseSync,
    }
    export default async (req, res) => {
      const seen = {}
      for (const [name, Database] of Object.entries(ways)) {
        new Database(name + '.db').exec('create table t (a)')
        seen[name] = existsSync(name + '.db')
      }
      new DatabaseSync('file:sub/uri.db?mode=rwc').exec('create table t (a)')
      seen.uri = existsSync('sub/uri.db')
      const memory = new DatabaseSync(':memory:')
      memory.exec('create table t (a)')
      await backup(memory, 'sub/backup.db')
      seen.backup = existsSync('sub/backup.db')
      seen.memory = existsSync(':memory:')
      seen.isOne = memory instanceof DatabaseSync
      res.end(JSON.stringify(seen))
    }`
  // A blank, a question mark and a percent sign: in a URI they would mean something.
  const folder = join(writeSite(t, { 'odd ?%41#/main.mjs': text, 'odd ?%41#/sub/x': '' }), 'odd ?%41#')
  await thread.loadWell({ generation: 1, module: join(folder, 'main.mjs'), root: folder })

  const { json } = await thread.get(1)

  const made = { import: true, require: true, builtin: true, uri: true, backup: true }
  assert.deepEqual(json, { ...made, memory: false, isOne: true })
  assert.equal(existsSync(join(folder, 'import.db')), true)
})

/** Tells where it is at home, from inside a thread of the site's own, and from a thread of that. */
const AT_HOME = `
  const { parentPort, Worker, workerData } = require('node:worker_threads')
  const fs = require('node:fs')
  fs.writeSync(1, 'by number ' + process.env.NAME + '\\n')
  const { DatabaseSync } = require('node:sqlite')
  new DatabaseSync('worker.db').exec('create table if not exists t (a)')
  const seen = {
    cwd: process.cwd(), name: process.env.NAME, data: fs.readFileSync('data.txt', 'utf8'), db: fs.existsSync('worker.db'),
    arguments: process.execArgv, traces: Object.keys(process.env).filter((name) => name.includes('VHOSTEL')),
  }
  if (workerData === 'last') parentPort.postMessage([seen])
  else new Worker(__filename, { workerData: 'last' }).on('message', (more) => parentPort.postMessage([seen, ...more]))`

for (const alone of [false, true]) {
  const where = alone ? 'in a process of its own' : 'in a thread that sites share'

  test(`threads that a site starts are at home where it is, ${where}`, async (t) => {
    const worker = await WorkerDriver.start(t)
    const thread = await worker.startThread({ alone })
    const text = `
      const { Worker } = require('node:worker_threads')
      const ask = (...args) => new Promise((resolve, reject) => new Worker(...args).on('message', resolve).on('error', reject))
      module.exports = async (req, res) => res.end(JSON.stringify([
        ...await ask('./at-home.cjs'),
        ...await ask('./at-home.cjs', { workerData: 'last', env: { NAME: 'said' }, execArgv: ['--no-warnings'] }),
        ...await ask("require('worker_threads').parentPort.postMessage([process.cwd()])", { eval: true }),
      ]))`
    const folder = realpathSync(writeSite(t, { 'main.cjs': text, 'at-home.cjs': AT_HOME, 'data.txt': 'data' }))
    await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs'), root: folder, env: { NAME: 'own' } })

    const { json } = await thread.get(1)

    const home = { cwd: folder, name: 'own', data: 'data', db: true, arguments: [], traces: [] }
    const said = { ...home, name: 'said', arguments: ['--no-warnings'] }
    assert.deepEqual(json, [home, home, said, folder])
    await thread.log(1, /^by number own$/)
  })
}

test('what makes folders, finds files and writes by number does so as in plain Node', async (t) => {
  const thread = await startThread(t)
  const text = `
    import fs from 'node:fs'
    import { glob, mkdtempDisposable } from 'node:fs/promises'
    import { promisify } from 'node:util'
    export default async (req, res) => {
      const one = fs.mkdtempDisposableSync('made-')
      const other = await mkdtempDisposable('made-')
      const made = fs.readdirSync('.').filter((name) => name.startsWith('made-')).length
      one.remove()
      await other.remove()
      const fd = fs.openSync('out.txt', 'w')
      const written = await promisify(fs.write)(fd, Buffer.from('text'))
      const more = await promisify(fs.writev)(fd, [Buffer.from('more')])
      fs.closeSync(fd)
      res.end(JSON.stringify({
        made, left: fs.readdirSync('.').filter((name) => name.startsWith('made-')).length,
        found: [...fs.globSync('*.txt'), ...await Array.fromAsync(glob('*.mjs'))],
        written: [written.bytesWritten, written.buffer?.toString(), more.bytesWritten, more.buffer?.length],
      }))
    }`
  await thread.loadWell({ generation: 1, module: join(writeSite(t, { 'main.mjs': text }), 'main.mjs') })

  assert.deepEqual((await thread.get(1)).json, {
    made: 2,
    left: 0,
    found: ['out.txt', 'main.mjs'],
    written: [4, 'text', 4, 1],
  })
})
