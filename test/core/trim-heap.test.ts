import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { PerformanceObserver } from 'node:perf_hooks'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { trimHeap } from '../../src/core/trim-heap.ts'

const MEGABYTE = 1024 ** 2
const WORDS_A_MEGABYTE = MEGABYTE / 8

/** Arrays that stay in this thread's heap, each of a megabyte. */
function fill(megabytes: number): number[][] {
  return Array.from({ length: megabytes }, (_, index) => new Array<number>(WORDS_A_MEGABYTE).fill(index + 0.5))
}

test('what was thrown away goes back to the system, and the thread goes on', async () => {
  let rubbish: number[][] | undefined = fill(40)
  const full = getHeapStatistics().total_heap_size
  assert.equal(rubbish.length, 40)
  rubbish = undefined

  await trimHeap()
  await turn()

  const trimmed = getHeapStatistics().total_heap_size
  assert.ok(full - trimmed > 30 * MEGABYTE, `${full} bytes before, ${trimmed} after`)
})

test('a heap whose collection would take long is left alone', async () => {
  const kept = fill(80)
  let collections = 0
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length
  })
  observer.observe({ entryTypes: ['gc'] })

  await trimHeap()
  await turn()
  observer.disconnect()

  assert.equal(collections, 0)
  assert.equal(kept.length, 80)
})

test('many at once, in a thread too, leave it able to end', async () => {
  const source = `
    import { trimHeap } from ${JSON.stringify(import.meta.resolve('../../src/core/trim-heap.ts'))}
    await Promise.all([trimHeap(), trimHeap(), trimHeap()])
    await trimHeap()`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  worker.on('error', reject)
  worker.on('exit', resolve)

  assert.equal(await promise, 0)
})

test('the hidden class of ticks outlives it', () => {
  const source = `
    import { executionAsyncResource } from 'node:async_hooks'
    import { kept, trimHeap } from ${JSON.stringify(import.meta.resolve('../../src/core/trim-heap.ts'))}
    await trimHeap()
    await trimHeap()
    process.nextTick(() => console.log(%HaveSameMap(executionAsyncResource(), kept.tick)))`
  const options = ['--allow-natives-syntax', '--input-type=module', '--eval', source]
  const { stdout, stderr } = spawnSync(process.execPath, options, { encoding: 'utf8', timeout: 20_000 })

  assert.equal(stdout, 'true\n', stderr)
})
