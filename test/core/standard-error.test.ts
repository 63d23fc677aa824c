import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'

const MODULE = join(import.meta.dirname, '../../src/core/standard-error.ts')
const LINES = 20_000
/** More than a pipe holds. */
const SAY = `const lines = Array.from({ length: ${LINES} }, (_, number) => 'line ' + number + '\\n')
  for (const line of lines) target.write(line)`
const DEADLINE_MS = 20_000

interface End {
  code: number | null
  signal: NodeJS.Signals | null
  text: string
}

/** Runs code with `target`, a StandardError, in a process of its own. */
async function run(code: string, stderr: 'pipe' | number): Promise<End> {
  const source = `import { StandardError } from ${JSON.stringify(MODULE)}\nconst target = new StandardError()\n${code}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'ignore', stderr],
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  await once(child, stderr === 'pipe' ? 'close' : 'exit')
  return { code: child.exitCode, signal: child.signalCode, text }
}

const all = Array.from({ length: LINES }, (_, number) => `line ${number}\n`).join('')

test('every line arrives, in its order, though the process ends at once', async () => {
  const byItself = await run(SAY, 'pipe')
  const byExit = await run(`${SAY}\nprocess.exit(3)`, 'pipe')

  assert.deepEqual(byItself, { code: 0, signal: null, text: all })
  assert.deepEqual([byExit.code, byExit.text.length], [3, all.length])
})

test('a full disk keeps no process from its end', async (t) => {
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))

  const byItself = await run(SAY, full)
  const byExit = await run(`${SAY}\nprocess.exit(3)`, full)

  assert.deepEqual([byItself.code, byExit.code], [0, 3])
})

test('a pipe that nobody reads keeps no process from its end', async (t) => {
  const pipe = openUnreadPipe(t)

  const byItself = await run(`${SAY}\nprocess.on('exit', () => {})`, pipe)
  const byExit = await run(`${SAY}\nsetTimeout(() => process.exit(3), 300)`, pipe)

  assert.deepEqual([byItself.code, byExit.code], [0, 3])
})

test('what is too much for a reader is dropped, and how much that was is told', async () => {
  const code = `for (let number = 0; number < 30; number++) target.write('x'.repeat(1024 * 1024) + '\\n')`

  const { text } = await run(code, 'pipe')

  const told = JSON.parse(text.split('\n').find((line) => line.startsWith('{')) ?? '{}') as { dropped?: number }
  const written = text.split('\n').filter((line) => line.startsWith('x')).length
  assert.equal(written + (told.dropped ?? 0), 30)
  assert.ok(written < 30, `${written}`)
})

/** A FIFO that is open for reading, so that it can be written to, and that nobody reads. */
function openUnreadPipe(t: TestContext): number {
  const dir = mkdtempSync(join(tmpdir(), 'vh-'))
  const path = join(dir, 'pipe')
  execFileSync('mkfifo', [path])
  const pipe = openSync(path, 'r+')
  t.after(() => {
    closeSync(pipe)
    rmSync(dir, { recursive: true })
  })
  return pipe
}
