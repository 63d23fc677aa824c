import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { LogTrouble } from '../../src/core/log-files.ts'
import { LogFiles } from '../../src/core/log-files.ts'
import { textIfThere } from '../helpers/folder.ts'

const DEADLINE_MS = 20_000
const QUICK = { gatherMs: 5, retryMs: 20, tellMs: 60_000, idleMs: 60_000, lookMs: 60_000 }

function makeFiles(t: TestContext, settings: { rotateBytes?: number; keep?: number } = {}, timing = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'vh-log-'))
  const files = new LogFiles({ rotateBytes: 0, keep: 3, ...settings }, { ...QUICK, ...timing })
  const troubles: LogTrouble[] = []
  files.onTrouble = (trouble) => troubles.push(trouble)
  t.after(async () => {
    await files.close()
    rmSync(dir, { recursive: true, force: true })
  })
  return { dir, files, troubles, path: join(dir, 'a.log') }
}

async function until(what: string, check: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!check()) {
    assert.ok(performance.now() < deadline, `waited too long for ${what}`)
    await delay(5)
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

test('lines are appended in their order, to a file in folders that are made, for its owner and group', async (t) => {
  const { dir, files } = makeFiles(t)
  const path = join(dir, 'deep/er/a.log')

  files.write(path, 'one\n')
  files.write(path, 'zwei ü\n')
  await files.close()
  files.write(path, 'three\n')
  await files.close()

  assert.equal(textIfThere(path), 'one\nzwei ü\nthree\n')
  assert.equal(statSync(path).mode & 0o777 & ~0o040, 0o600)
})

test('100,000 lines while the file is renamed again and again: none lost, none mangled, none twice', async (t) => {
  const { dir, files, path } = makeFiles(t)
  // All of it together is less than may wait.
  const padding = 'x'.repeat(40)

  for (let number = 0; number < 100_000; number++) {
    files.write(path, `${number} ${padding}\n`)
    if (number % 10_000 === 5_000) {
      await until('the file to be opened', () => existsSync(path))
      renameSync(path, join(dir, `old.${number}`))
      files.reopen()
    }
    if (number % 500 === 0) await turn()
  }
  await files.close()

  const whole = readdirSync(dir).map((name) => textIfThere(join(dir, name)))
  const lines = whole.flatMap((text) => text.split('\n').slice(0, -1))
  assert.ok(whole.length >= 10)
  assert.ok(whole.every((text) => text === '' || text.endsWith('\n')))
  assert.ok(lines.every((line) => line.endsWith(` ${padding}`)))
  const numbers = lines.map((line) => Number.parseInt(line, 10)).sort((a, b) => a - b)
  assert.ok(numbers.every((number, at) => number === at) && numbers.length === 100_000)
})

test('a file that has become large is moved aside, and so many are kept as was said', async (t) => {
  const { dir, files, path } = makeFiles(t, { rotateBytes: 1000, keep: 2 })

  for (let round = 1; round <= 5; round++) {
    files.write(path, `${round}${'.'.repeat(1000)}\n`)
    await until('a round to be written', () => textIfThere(path).startsWith(String(round)))
  }

  assert.deepEqual(readdirSync(dir).sort(), ['a.log', 'a.log.1', 'a.log.2'])
  assert.deepEqual(
    ['a.log', 'a.log.1', 'a.log.2'].map((name) => textIfThere(join(dir, name))[0]),
    ['5', '4', '3'],
  )
})

test('a link is never moved aside', async (t) => {
  const { dir, files } = makeFiles(t, { rotateBytes: 10, keep: 1 })
  const link = join(dir, 'link.log')
  symlinkSync('real.log', link)

  for (const line of ['a long first line\n', 'second\n']) {
    files.write(link, line)
    await until('the line', () => textIfThere(link).endsWith(line))
  }

  assert.deepEqual(readdirSync(dir).sort(), ['link.log', 'real.log'])
})

test('rotation loses no line of many', async (t) => {
  const { dir, files, path } = makeFiles(t, { rotateBytes: 50_000, keep: 900 })

  for (let number = 0; number < 30_000; number++) {
    files.write(path, `${number} is a line of the log\n`)
    if (number % 1_000 === 0) await delay(10)
  }
  await files.close()

  const lines = readdirSync(dir).flatMap((name) => textIfThere(join(dir, name)).split('\n').slice(0, -1))
  assert.ok(readdirSync(dir).length > 3)
  assert.equal(new Set(lines).size, 30_000)
  assert.equal(lines.length, 30_000)
})

test('where it cannot be moved aside the file grows on, and no line is lost', async (t) => {
  const { dir, files, path, troubles } = makeFiles(t, { rotateBytes: 10, keep: 1 })
  mkdirSync(join(dir, 'a.log.1/in-the-way'), { recursive: true })

  for (const line of ['a long first line\n', 'second\n', 'third\n']) {
    files.write(path, line)
    await until('the line', () => textIfThere(path).endsWith(line))
  }

  assert.equal(textIfThere(path), 'a long first line\nsecond\nthird\n')
  assert.equal(troubles[0]?.kind, 'failing')
  assert.match(troubles[0]?.reason ?? '', /EISDIR|ENOTEMPTY|EEXIST/)
})

test('a full disk: told once, lines are kept, what has no room is counted', async (t) => {
  const { files, troubles } = makeFiles(t)
  const line = `${'x'.repeat(9_999)}\n`

  for (let count = 0; count < 1_000; count++) files.write('/dev/full', line)
  await until('the trouble', () => troubles.some(({ kind }) => kind === 'failing'))
  await delay(100)

  const failing = troubles.filter(({ kind }) => kind === 'failing')
  assert.deepEqual(
    failing.map(({ path, reason }) => [path, reason]),
    [['/dev/full', 'ENOSPC: no space left on device, write']],
  )
  assert.ok(troubles.length <= 2)
  assert.deepEqual(files.failing, [{ path: '/dev/full', reason: 'ENOSPC: no space left on device, write' }])
  // 8 MB are kept: 838 lines.
  assert.equal(
    troubles.reduce((sum, { dropped }) => sum + dropped, 0),
    1_000 - 838,
  )
})

test('a path that leads through a file is told; once it is free, what was kept is written, in order', async (t) => {
  const { dir, files, troubles } = makeFiles(t)
  const path = join(dir, 'blocked/a.log')
  writeFileSync(join(dir, 'blocked'), '')

  files.write(path, 'one\n')
  await until('the trouble', () => troubles.length > 0)
  files.write(path, 'two\n')
  rmSync(join(dir, 'blocked'))
  await until('it to go on', () => troubles.length > 1)

  assert.equal(textIfThere(path), 'one\ntwo\n')
  assert.match(troubles[0]?.reason ?? '', /^(ENOTDIR|EEXIST)/)
  assert.deepEqual(
    troubles.map(({ kind, dropped }) => [kind, dropped]),
    [
      ['failing', 0],
      ['over', 0],
    ],
  )
})

test('a FIFO that nobody reads keeps nothing waiting; its reader gets the lines when it comes', async (t) => {
  const { dir, files, troubles } = makeFiles(t)
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])

  files.write(fifo, 'early\n')
  await until('the trouble', () => troubles.length > 0)
  files.write(join(dir, 'other.log'), 'not held up\n')
  await until('the other file', () => textIfThere(join(dir, 'other.log')) === 'not held up\n')
  const reader = spawn('head', ['-n1', fifo], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [output] = (await once(reader.stdout, 'data')) as [Buffer]

  assert.match(troubles[0]?.reason ?? '', /^ENXIO/)
  assert.equal(output.toString(), 'early\n')
})

test('a FIFO whose reader stops: lines are dropped beyond the bound, and none of the others is mangled', async (t) => {
  const { dir, files, troubles } = makeFiles(t)
  const fifo = join(dir, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  t.after(() => closeSync(reader))
  const line = (number: number) => `${number} ${'y'.repeat(990)}\n`

  for (let number = 0; number < 12_000; number++) {
    files.write(fifo, line(number))
    if (number % 200 === 0) await delay(1)
  }
  await until('the drops', () => troubles.length > 0)
  let read = ''
  const part = Buffer.alloc(1024 * 1024)
  await until('the rest', () => {
    try {
      read += part.toString('latin1', 0, readSync(reader, part))
    } catch {
      // nothing there at the moment
    }
    return troubles.some(({ kind }) => kind === 'over')
  })

  const lines = read.split('\n').slice(0, -1)
  const dropped = troubles.reduce((sum, trouble) => sum + trouble.dropped, 0)
  assert.equal(troubles[0]?.kind, 'slow')
  assert.ok(dropped > 1_000, `${dropped} were dropped`)
  assert.equal(lines.length + dropped, 12_000)
  assert.deepEqual(
    lines.filter((one) => !/^\d+ y{990}$/.test(one)),
    [],
  )
})

test('a folder that was removed is made again', async (t) => {
  const { dir, files } = makeFiles(t, {}, { lookMs: 10 })
  const path = join(dir, 'logs/a.log')
  files.write(path, 'one\n')
  await until('the first line', () => textIfThere(path) === 'one\n')

  rmSync(join(dir, 'logs'), { recursive: true })
  await delay(20)
  files.write(path, 'two\n')
  await until('the second line', () => textIfThere(path) === 'two\n')

  assert.equal(textIfThere(path), 'two\n')
})

test('1,000 files at once take no more than 256 descriptors, and none once they are idle', async (t) => {
  const { dir, files } = makeFiles(t, {}, { idleMs: 150 })
  const paths = Array.from({ length: 1_000 }, (_, number) => join(dir, `${number}.log`))
  const before = openDescriptors()
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, openDescriptors() - before)
  }, 1)

  for (let round = 0; round < 3; round++) {
    for (const path of paths) files.write(path, `round ${round}\n`)
    await until('the round', () => textIfThere(paths[999] as string).endsWith(`round ${round}\n`))
  }
  await until('all to be closed', () => files.openCount === 0)
  clearInterval(watch)

  assert.ok(most <= 256 + 10, `${most} were open`)
  assert.ok(paths.every((path) => textIfThere(path) === 'round 0\nround 1\nround 2\n'))
})

test('what waits at the end of the process is written', async (t) => {
  const { dir } = makeFiles(t)
  const script = join(dir, 'end.mjs')
  const path = join(dir, 'end.log')
  const module = new URL('../../src/core/log-files.ts', import.meta.url).href
  writeFileSync(
    script,
    `import { LogFiles } from '${module}'
     const files = new LogFiles({ rotateBytes: 0, keep: 1 })
     files.write('${path}', 'one\\n'); files.write('${path}', 'two\\n'); process.exit(3)`,
  )

  const [code] = (await once(spawn(process.execPath, [script], { stdio: 'inherit' }), 'exit')) as [number]

  assert.equal(code, 3)
  assert.equal(textIfThere(path), 'one\ntwo\n')
})
