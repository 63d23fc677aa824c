/** Jobs that are made to be slow, in the helper threads that all sites of a process share: one of a thread at a time, sites in turn. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { JobTurns } from '../../src/worker/job-turns.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { WorkerDriver } from '../helpers/thread-driver.ts'

const BCRYPT = JSON.stringify(import.meta.resolve('@node-rs/bcrypt'))

/** What takes a helper thread some 50 ms each. */
const JOBS: readonly [how: string, begin: string][] = [
  ['pbkdf2', `const { pbkdf2 } = require('crypto'); return pbkdf2('a', 'b', 60_000, 64, 'sha512', done)`],
  ['promisified scrypt', `return promisify(require('crypto').scrypt)('a', 'b', 64).then(done, done)`],
  ['Web Crypto', `return derive().then(done, done)`],
  ['a known add-on', `return bcrypt.hash('password', { cost: 10 }).then(done, done)`],
  ['Brotli at its usual level', `return promisify(require('zlib').brotliCompress)(page).then(done, done)`],
]

/** `/` begins sixteen and answers when the last is over, `/over` says how many are. */
function worker(begin: string): string {
  return `import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import bcrypt from ${BCRYPT}
const require = createRequire(import.meta.url)
const key = await crypto.subtle.importKey('raw', Buffer.from('a'), 'PBKDF2', false, ['deriveBits'])
const rounds = { name: 'PBKDF2', hash: 'SHA-512', salt: Buffer.from('b'), iterations: 60_000 }
const derive = () => crypto.subtle.deriveBits(rounds, key, 512)
const page = crypto.getRandomValues(Buffer.alloc(32_000)).toString('hex')
let over = 0
const work = () => new Promise((resolve) => {
  const done = () => { over++; resolve() }
  ${begin}
})
export default async (req, res) => {
  if (req.url === '/over') return res.end(String(over))
  await Promise.all(Array.from({ length: 16 }, work))
  res.end('done')
}`
}

const READS = `import { readFile } from 'node:fs/promises'
export default async (req, res) => { await readFile(import.meta.filename); res.end('read') }`

async function load(t: Parameters<typeof writeSite>[0], thread: DrivenThread, generation: number, text: string) {
  await thread.loadWell({ generation, module: join(writeSite(t, { 'main.mjs': text }), 'main.mjs') })
}

async function startThread(t: Parameters<typeof writeSite>[0]): Promise<DrivenThread> {
  const worker = await WorkerDriver.start(t)
  return await worker.startThread()
}

for (const [how, begin] of JOBS) {
  test(`a neighbour's file does not wait for sixteen jobs of ${how}`, async (t) => {
    const thread = await startThread(t)
    await load(t, thread, 1, worker(begin))
    await load(t, thread, 2, READS)

    const working = thread.get(1)
    assert.equal((await thread.get(2)).text, 'read')
    const over = Number((await thread.get(1, '/over')).text)

    // Without turns all are in front of the file, and twelve at least are over.
    assert.ok(over <= 2, `${over} jobs were over`)
    assert.equal((await working).text, 'done')
    assert.equal((await thread.get(1, '/over')).text, '16')
  })
}

test('the hash of another site has its turn behind the one that is under way', async (t) => {
  const thread = await startThread(t)
  const [, [, begin]] = JOBS as [unknown, [string, string]]
  await load(t, thread, 1, worker(begin))
  await load(
    t,
    thread,
    2,
    `import { scryptSync, scrypt } from 'node:crypto'
export default (req, res) => scrypt('c', 'd', 32, (error, key) => res.end(String(key.equals(scryptSync('c', 'd', 32)))))`,
  )

  const hashing = thread.get(1)
  assert.equal((await thread.get(2)).text, 'true')
  const over = Number((await thread.get(1, '/over')).text)

  assert.ok(over <= 3, `${over} hashes were over`)
  await hashing
})

/** Answers with all that a caller of these functions can see. */
const CALLERS = `import { AsyncLocalStorage } from 'node:async_hooks'
import crypto from 'node:crypto'
import { promisify } from 'node:util'
import bcrypt from ${BCRYPT}
const storage = new AsyncLocalStorage()
const seen = {}
const attempt = (call) => { try { call(); return 'nothing' } catch (error) { return error.code } }
export default async (req, res) => {
  const password = Buffer.from('password')
  const first = promisify(crypto.pbkdf2)('first', 'salt', 20_000, 16, 'sha256')
  const second = promisify(crypto.pbkdf2)(password, 'salt', 20_000, 16, 'sha256')
  const third = bcrypt.hash(password, { cost: 4 })
  password.fill(0)
  seen.copied = (await second).equals(crypto.pbkdf2Sync('password', 'salt', 20_000, 16, 'sha256'))
  seen.addon = await bcrypt.verify('password', await third)
  seen.refused = attempt(() => crypto.pbkdf2('a', 'b', -1, 1, 'sha1', () => {}))
  seen.lacking = attempt(() => crypto.scrypt('a', 'b', 1))
  seen.failed = await promisify(crypto.generateKeyPair)('rsa', { modulusLength: 1024, publicExponent: 65_536 }).catch((error) => error.message.includes('pub exponent'))
  seen.wrong = await bcrypt.verify('password', 'no hash')
  seen.context = await storage.run('mine', () => new Promise((resolve) => {
    crypto.pbkdf2('a', 'b', 20_000, 1, 'sha1', () => {})
    crypto.pbkdf2('a', 'b', 1, 1, 'sha1', () => resolve(storage.getStore()))
  }))
  const { publicKey } = await promisify(crypto.generateKeyPair)('rsa', { modulusLength: 1024 })
  const prime = await promisify(crypto.generatePrime)(32, { bigint: true })
  seen.key = publicKey.asymmetricKeyType
  seen.prime = await promisify(crypto.checkPrime)(prime)
  seen.web = (await crypto.subtle.generateKey({ name: 'RSA-PSS', modulusLength: 1024, publicExponent: Buffer.of(1, 0, 1), hash: 'SHA-256' }, true, ['sign', 'verify'])).privateKey.type
  seen.first = (await first).length
  res.end(JSON.stringify(seen))
}`

test('who calls them notices nothing but the time', async (t) => {
  const thread = await startThread(t)
  await load(t, thread, 1, CALLERS)

  assert.deepEqual((await thread.get(1)).json, {
    copied: true,
    addon: true,
    refused: 'ERR_OUT_OF_RANGE',
    lacking: 'ERR_INVALID_ARG_TYPE',
    failed: true,
    wrong: false,
    context: 'mine',
    key: 'rsa',
    prime: true,
    web: 'private',
    first: 16,
  })
})

/** Streams that compress: some at once, one that is given up while it waits, and what became of them. */
const STREAMS = `import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import zlib from 'node:zlib'
const page = crypto.getRandomValues(Buffer.alloc(40_000)).toString('hex').repeat(2)
const BEST = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 19 } }
export default async (req, res) => {
  const streams = [zlib.createBrotliCompress(), zlib.createBrotliCompress(), zlib.createZstdCompress(BEST), zlib.createBrotliCompress()]
  const given = zlib.createBrotliCompress()
  let told
  for (const stream of streams.slice(0, 2)) stream.end(page)
  given.write(page, () => { told = 'told' })
  given.destroy()
  await once(given, 'close')
  for (const stream of streams.slice(2)) { stream.write(page.slice(0, 70_000)); stream.end(page.slice(70_000)) }
  const bytes = await Promise.all(streams.map((stream) => buffer(stream)))
  const texts = bytes.map((one, at) => String(at === 2 ? zlib.zstdDecompressSync(one) : zlib.brotliDecompressSync(one)))
  const refused = await new Promise((resolve) => zlib.brotliDecompress('garbage', (error) => resolve(error.code)))
  const same = bytes[0].equals(zlib.brotliCompressSync(page))
  res.end(JSON.stringify({ whole: texts.map((text) => text === page), told, refused, same }))
}`

test('streams that compress are as they are without turns, also where one is given up', async (t) => {
  const thread = await startThread(t)
  await load(t, thread, 1, STREAMS)

  for (const _ of [1, 2]) {
    const seen = (await thread.get(1)).json
    assert.deepEqual(seen, {
      whole: [true, true, true, true],
      told: 'told',
      refused: 'ERR__ERROR_FORMAT_PADDING_1',
      same: true,
    })
  }
})

/** Six pages that are compressed at once, each in several steps: when the first bytes of each came, and when all. */
const PAGES = `import { createBrotliCompress } from 'node:zlib'
import { finished } from 'node:stream/promises'
export default async (req, res) => {
  const seen = []
  await Promise.all([0, 1, 2, 3, 4, 5].map((at) => {
    const stream = createBrotliCompress()
    stream.once('data', () => seen.push('begun ' + at)).on('data', () => {}).once('end', () => seen.push('over ' + at))
    stream.end(crypto.getRandomValues(Buffer.alloc(48_000)).toString('hex'))
    return finished(stream)
  }))
  res.end(JSON.stringify(seen))
}`

test('a page that is being compressed is over before the last of many has begun', async (t) => {
  const thread = await startThread(t)
  await load(t, thread, 1, PAGES)

  const seen = (await thread.get(1)).json as string[]

  assert.equal(seen.length, 12)
  assert.ok(seen.indexOf('over 0') < seen.indexOf('begun 5'), seen.join())
})

test('so many jobs are under way as may be, and owners have turns', () => {
  const begun: string[] = []
  const turns = new JobTurns<string>(2)
  const begin = (name: string): void => turns.begin(name[0] as string, () => void begun.push(name))

  for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'a5', 'b2', 'c1']) begin(name)
  assert.deepEqual(begun, ['a1', 'a2'])

  for (let ended = 0; ended < 6; ended++) turns.end()
  assert.deepEqual(begun, ['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2', 'a5'])

  turns.end()
  begin('d1')
  assert.equal(begun.at(-1), 'd1')
})

test('what goes on is before what has not begun of the same owner, and has its turn as any other', () => {
  const begun: string[] = []
  const turns = new JobTurns<string>(1)
  const begin = (name: string, goesOn = false): void =>
    turns.begin(name[0] as string, () => void begun.push(name), goesOn)

  for (const name of ['a1', 'a2', 'a3', 'b1']) begin(name)
  turns.end()
  begin('a1 on', true)
  for (let ended = 0; ended < 4; ended++) turns.end()

  assert.deepEqual(begun, ['a1', 'a2', 'b1', 'a1 on', 'a3'])
})
