/** Worker processes that somebody has stopped, and what may hide that: a busy machine, and that nobody waits for an answer. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** As a busy machine has it: so long it has no processor, and so long it has one. */
const AWAY_MS = 40
const AT_WORK_MS = 4
/** A worker that stands still is killed after 0.3 s; with a tenth of a processor it takes some more. */
const SEEN_WITHIN_MS = 20_000
const FILES = { 'app.mjs': 'export default () => new Response(String(process.pid))' }
const ONE = { config: '[pool]\nprocesses = 1\nthreads = 1' }

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** What the kernel says of a process, or a thread: `T` where it is stopped, `Z` where it has ended and its parent has not heard of it. */
function stateOf(path: string): string {
  try {
    const stat = readFileSync(`/proc/${path}/stat`, 'latin1')
    return stat.charAt(stat.lastIndexOf(')') + 2)
  } catch {
    return 'Z'
  }
}

/** Stops a process. Its threads run on until one of them has taken the signal, which takes a while on a busy machine. */
async function stop(box: Box, pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  const isStill = (): boolean => readdirSync(`/proc/${pid}/task`).every((id) => stateOf(`${pid}/task/${id}`) === 'T')
  await box.waitFor('the process to stand still', isStill)
}

test('a stopped worker process is noticed though the server is late at every turn', async (t) => {
  const box = await startBox(t, { app: { files: FILES } }, ONE)
  const worker = Number((await box.ask('app')).text)
  await stop(box, worker)
  const asked = box.ask('app')
  await box.waitFor('the request to arrive', async () => (await box.site('app'))?.requests === 2)

  const until = performance.now() + SEEN_WITHIN_MS
  while (stateOf(`${worker}`) !== 'Z' && performance.now() < until) {
    process.kill(box.pid, 'SIGSTOP')
    sleep(AWAY_MS)
    process.kill(box.pid, 'SIGCONT')
    sleep(AT_WORK_MS)
  }

  assert.ok(performance.now() < until, 'nobody noticed')
  assert.notEqual((await asked).text, String(worker))
})

test('a stopped worker process is noticed though it owes no answer, and a site is only to be loaded in it', async (t) => {
  const box = await startBox(t, { app: { files: FILES }, idle: { files: FILES } }, ONE)
  const worker = Number((await box.ask('app')).text)
  await stop(box, worker)

  const reply = await box.ask('idle')

  assert.equal(reply.status, 200)
  assert.notEqual(reply.text, String(worker))
})
