import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PoolSite } from '../../src/pool/pool-site.ts'
import { PoolThread } from '../../src/pool/pool-thread.ts'
import type { ShortTurnsHandlers } from '../../src/pool/short-turns.ts'
import { LeakyBucket, ShortTurns } from '../../src/pool/short-turns.ts'
import type { WorkerProcess } from '../../src/pool/worker-process.ts'
import { LIMITS, laneOf } from '../helpers/pool-limits.ts'

/** From here on a thread of which it is not known whose code it was is looked at, in ms. */
const FULL_MS = 700

/** When a thread that is late for `forMs` every `everyMs` has been so for too long, in ms; undefined: not within a minute. */
function fullAfter(forMs: number, everyMs: number): number | undefined {
  const bucket = new LeakyBucket(0)
  for (let now = everyMs; now <= 60_000; now += everyMs) if (bucket.add(forMs, now) >= FULL_MS) return now
  return undefined
}

function site(name: string): PoolSite {
  return new PoolSite(name, laneOf(name), LIMITS, () => {})
}

/** When sites are told of that make threads late for so long, that often, within a minute; each thread is late in turn. */
function toldOf(
  forMs: number,
  everyMs: number,
  ...sites: PoolSite[]
): { often?: number; kept?: number; whose?: PoolSite } {
  const told: ReturnType<typeof toldOf> = {}
  let now = 0
  const turns = new ShortTurns({
    lookAt: () => assert.fail('it is known whose code it was'),
    onOften: () => {
      told.often ??= now
    },
    onKept: (_thread, whose) => {
      told.kept ??= now
      told.whose ??= whose
    },
  } satisfies ShortTurnsHandlers)
  const threads = [1, 2].map((id) => new PoolThread(id, '', {} as WorkerProcess, 'default'))
  for (let turn = 0; now <= 60_000; turn++) {
    now += everyMs
    turns.add(threads[turn % 2] as PoolThread, sites[turn % sites.length], forMs, now)
  }
  return told
}

test('a site that is known to make threads late all the time has its neighbours avoid them at once, and is told of soon', () => {
  const burner = site('burner')

  const { often, kept, whose } = toldOf(80, 85, burner)

  assert.equal(often, 170, 'at its second turn')
  assert.ok(kept !== undefined && kept > 1_500 && kept < 2_500, `${kept}`)
  assert.equal(whose, burner)
})

test('a site that makes threads late for less than a seventh of the time is not told of, nor avoided', () => {
  assert.deepEqual(toldOf(60, 430, site('a')), {})
})

test('two sites that make threads late for less than a seventh of the time each are not told of either', () => {
  assert.deepEqual(toldOf(60, 215, site('a'), site('b')), {})
})

test('a page that is opened a dozen times at once is avoided for a while, and not told of', () => {
  const turns: string[] = []
  const watched = new ShortTurns({
    lookAt: () => assert.fail('it is known whose code it was'),
    onOften: () => turns.push('often'),
    onKept: () => turns.push('kept'),
  })
  const thread = new PoolThread(1, '', {} as WorkerProcess, 'default')
  const page = site('page')

  for (let turn = 0; turn < 12; turn++) watched.add(thread, page, 80, turn * 85)

  assert.deepEqual(new Set(turns), new Set(['often']))
})

test('a thread that is late most of the time fills its bucket within seconds', () => {
  assert.ok((fullAfter(60, 80) ?? Number.POSITIVE_INFINITY) < 3_000)
  assert.ok((fullAfter(90, 300) ?? Number.POSITIVE_INFINITY) < 6_000)
})

test('one that is late for less than a seventh of the time never does', () => {
  assert.equal(fullAfter(60, 430), undefined)
  assert.equal(fullAfter(99, 700), undefined)
})

test('what was long ago has leaked out', () => {
  const bucket = new LeakyBucket(0)
  assert.deepEqual([bucket.add(600, 0), bucket.add(600, 10_000), bucket.add(200, 10_100)], [600, 600, 785])
})
