import assert from 'node:assert/strict'
import {
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { HotFiles, MAX_FILE_BYTES } from '../../src/dispatcher/hot-files.ts'
import type { StaticServer } from '../helpers/static-server.ts'
import { ask, openFilesIn, serve, until } from '../helpers/static-server.ts'

/** Within so much of a change it has to be seen, in ms. */
const SEEN_MS = 1000
/** Long ago: files that have just been written are read again and again. */
const SETTLED = new Date('2023-01-01')

interface HotServer extends StaticServer {
  memory: HotFiles
}

async function hotServer(t: TestContext, files: Record<string, string | Buffer>): Promise<HotServer> {
  const memory = new HotFiles()
  const served = await serve(t, files, ['index.html'], () => {}, { memory, id: '1:' })
  for (const name of Object.keys(files)) utimesSync(join(served.dir, 'root', name), SETTLED, SETTLED)
  return { ...served, memory }
}

/** Asks without a pause until the answer is another one than before the change; no late one may be the old. */
async function assertSeen(served: StaticServer, target: string, change: () => void, wanted: string): Promise<void> {
  const show = async (): Promise<string> => {
    const { status, body } = await ask(served, target)
    return status === 200 ? body.toString() : String(status)
  }
  const before = await show()
  for (let i = 0; i < 5; i++) assert.equal(await show(), before)

  change()
  const changedAt = performance.now()
  for (;;) {
    const askedAt = performance.now()
    const now = await show()
    if (now === wanted) return
    assert.equal(now, before)
    assert.ok(askedAt - changedAt < SEEN_MS, `${target} was old ${askedAt - changedAt} ms after the change`)
  }
}

test('a small file is kept, and sent as it was from the disk', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 60_000 }, (_, at) => at % 256))
  const served = await hotServer(t, {
    'a.txt': 'hä',
    'b.bin': bytes,
    'c.bin': bytes.subarray(0, 9000),
    'empty.txt': '',
  })

  for (const name of ['a.txt', 'b.bin', 'c.bin', 'empty.txt']) {
    const first = await ask(served, `/${name}`)
    assert.ok('answer' in (served.memory.know('1:', `/${name}`, undefined) ?? {}), name)
    const second = await ask(served, `/${name}`)
    const head = await ask(served, `/${name}`, [], 'HEAD')

    assert.ok(first.body.equals(second.body), name)
    assert.equal(first.body.length, Number(first.headers['content-length']))
    assert.deepEqual({ ...second.headers, date: '' }, { ...first.headers, date: '' })
    assert.deepEqual([head.headers['content-length'], head.body.length], [first.headers['content-length'], 0])
  }
  assert.deepEqual((await ask(served, '/b.bin')).body, bytes)
})

const CHANGES: Record<string, [change: (root: string) => void, wanted: string]> = {
  'a deleted file': [(root) => unlinkSync(join(root, 'sub/a.txt')), '404'],
  'a file that is replaced': [
    (root) => {
      writeFileSync(join(root, 'new'), 'new')
      renameSync(join(root, 'new'), join(root, 'sub/a.txt'))
    },
    'new',
  ],
  'a file that is written anew, with the size and the date that it had': [
    (root) => {
      writeFileSync(join(root, 'sub/a.txt'), 'OLD')
      utimesSync(join(root, 'sub/a.txt'), SETTLED, SETTLED)
    },
    'OLD',
  ],
  'a folder above it that is renamed': [(root) => renameSync(join(root, 'sub'), join(root, 'other')), '404'],
  'a folder above it that is moved out of the root, and a link in its place': [
    (root) => {
      renameSync(join(root, 'sub'), join(root, '../outside'))
      symlinkSync('../outside', join(root, 'sub'))
    },
    '404',
  ],
  'a folder in its place': [
    (root) => {
      unlinkSync(join(root, 'sub/a.txt'))
      mkdirSync(join(root, 'sub/a.txt'))
    },
    '404',
  ],
}

for (const [what, [change, wanted]] of Object.entries(CHANGES)) {
  test(`${what} is seen within a second`, async (t) => {
    const served = await hotServer(t, { 'sub/a.txt': 'old' })

    await assertSeen(served, '/sub/a.txt', () => change(join(served.dir, 'root')), wanted)

    await until('all files are closed', () => openFilesIn(served.dir) === 0)
  })
}

test('a file that was not there, and one before it in turn, is seen within a second', async (t) => {
  const served = await hotServer(t, { 'sub/index.html': 'old' })
  const root = join(served.dir, 'root')

  await assertSeen(served, '/new.txt', () => writeFileSync(join(root, 'new.txt'), 'new'), 'new')
  await assertSeen(served, '/sub/', () => writeFileSync(join(root, 'sub/index.html'), 'newer'), 'newer')
})

test('permission that is taken away is seen within a second', async (t) => {
  const served = await hotServer(t, { 'a.txt': 'old', 'sub/b.txt': 'old' })
  chmodSync(served.dir, 0o755)
  const isRoot = process.geteuid?.() === 0 // who may read everything
  if (isRoot) process.seteuid?.(65_534)
  const asRoot = (change: () => void): void => {
    if (isRoot) process.seteuid?.(0)
    change()
    if (isRoot) process.seteuid?.(65_534)
  }

  try {
    await assertSeen(served, '/a.txt', () => asRoot(() => chmodSync(join(served.dir, 'root/a.txt'), 0)), '403')
    await assertSeen(served, '/sub/b.txt', () => asRoot(() => chmodSync(join(served.dir, 'root/sub'), 0)), '403')
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})

test('a file that is written all the time is never mixed, and never old', async (t) => {
  const served = await hotServer(t, { 'a.txt': '0'.repeat(1000) })
  const path = join(served.dir, 'root/a.txt')
  const writtenAt: number[] = []
  const timer = setInterval(() => {
    writeFileSync(`${path}.new`, String(writtenAt.length % 10).repeat(1000))
    renameSync(`${path}.new`, path)
    writtenAt.push(performance.now())
  }, 20)
  await until('it is written', () => writtenAt.length > 0)

  while (writtenAt.length < 100) {
    const askedAt = performance.now()
    const { status, body } = await ask(served, '/a.txt')
    if (status === 503) continue // replaced five times within one request
    const text = body.toString()
    assert.equal(text, (text[0] ?? '').repeat(1000))
    const current = writtenAt.flatMap((_, number) =>
      (writtenAt[number + 1] ?? askedAt) > askedAt - SEEN_MS ? [number % 10] : [],
    )
    assert.ok(current.includes(Number(text[0])) || writtenAt.length < 10, `${text[0]} of ${current}`)
  }
  clearInterval(timer)
})

test('a file that was written just before it was read is read again', async (t) => {
  const served = await hotServer(t, { 'a.txt': 'old' })
  writeFileSync(join(served.dir, 'root/a.txt'), 'one')
  await ask(served, '/a.txt')

  const file = join(served.dir, 'root/a.txt')
  const known = served.memory.answerOf('1:', { file, coding: undefined, codings: [] }, statSync(file))

  assert.equal(known, undefined)
})

test('memory is bounded: the file that was not asked for longest goes first, and large ones are not kept', async (t) => {
  const names = Array.from({ length: 140 }, (_, at) => `${at}.bin`)
  const files = Object.fromEntries(names.map((name) => [name, Buffer.alloc(MAX_FILE_BYTES - 1)]))
  const served = await hotServer(t, { ...files, 'large.bin': Buffer.alloc(MAX_FILE_BYTES + 1) })
  const isKept = (name: string): boolean => {
    const path = join(served.dir, 'root', name)
    return served.memory.answerOf('1:', { file: path, coding: undefined, codings: [] }, statSync(path)) !== undefined
  }
  // Their `ctime` is that of this moment: let it be one at which they were settled.
  t.mock.method(Date, 'now', () => statSync(served.dir).ctimeMs + 60_000)

  for (const name of names) {
    await ask(served, `/${name}`)
    await ask(served, '/0.bin')
  }
  assert.equal((await ask(served, '/large.bin')).body.length, MAX_FILE_BYTES + 1)

  assert.deepEqual(['0.bin', '1.bin', '139.bin', 'large.bin'].map(isKept), [true, false, true, false])
  assert.ok(names.filter(isKept).length > 100)
})

test('two folders in one memory never get what is the other’s, and one can be given up', async (t) => {
  const memory = new HotFiles()
  const ids = [memory.nextId(), memory.nextId()]
  const [one, other] = await Promise.all(
    ids.map((id) => serve(t, { 'a.txt': `of ${id}` }, ['index.html'], () => {}, { memory, id })),
  )

  for (let i = 0; i < 3; i++) {
    assert.equal((await ask(one as StaticServer, '/a.txt')).body.toString(), 'of 1:')
    assert.equal((await ask(other as StaticServer, '/a.txt')).body.toString(), 'of 2:')
  }
  memory.forgetFolder('1:')

  assert.equal(memory.know('1:', '/a.txt', undefined), undefined)
  assert.ok(memory.know('2:', '/a.txt', undefined))
})

test('each client gets its own form of a file that is kept in several', async (t) => {
  const served = await hotServer(t, { 'a.js': 'plain', 'a.js.br': 'br', 'a.js.gz': 'gzip' })
  const wanted = [
    [[], 'plain'],
    [['Accept-Encoding: br'], 'br'],
    [['Accept-Encoding: gzip'], 'gzip'],
  ] as const

  for (let i = 0; i < 3; i++) {
    for (const [headers, body] of wanted) {
      const answer = await ask(served, '/a.js', [...headers])
      assert.deepEqual([answer.body.toString(), answer.headers.vary], [body, 'Accept-Encoding'])
    }
  }
  await assertSeen(served, '/a.js', () => rmSync(join(served.dir, 'root/a.js')), '404')
  await until('its compressed form goes too', () => served.memory.know('1:', '/a.js', 'br') === undefined)
  assert.equal((await ask(served, '/a.js', ['Accept-Encoding: br'])).status, 404)
})

test('a file that is kept says that it varies once a compressed form lies beside it', async (t) => {
  const served = await hotServer(t, { 'a.js': 'plain' })
  t.mock.method(Date, 'now', () => statSync(served.dir).ctimeMs + 60_000)
  assert.equal((await ask(served, '/a.js')).headers.vary, undefined)
  assert.ok(served.memory.know('1:', '/a.js', undefined))

  writeFileSync(join(served.dir, 'root/a.js.br'), 'br')
  const changedAt = performance.now()
  let vary: string | undefined
  while (vary === undefined && performance.now() < changedAt + SEEN_MS) {
    vary = (await ask(served, '/a.js')).headers.vary
  }

  assert.equal(vary, 'Accept-Encoding')
})

test('many clients at once, at the moment when what is kept is looked at again, all get the file', async (t) => {
  const served = await hotServer(t, { 'a.txt': 'a'.repeat(20_000) })
  const until3 = performance.now() + 1500

  while (performance.now() < until3) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(served, '/a.txt')))
    for (const { status, body } of answers) assert.deepEqual([status, body.length], [200, 20_000])
  }

  await until('all files are closed', () => openFilesIn(served.dir) === 0)
})
