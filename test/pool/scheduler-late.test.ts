import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lane, Slot } from '../../src/pool/scheduler.ts'
import { Scheduler } from '../../src/pool/scheduler.ts'

const SETTINGS = { concurrency: 2, spreadAt: 1, busyAt: 0.8, packMs: 2, backlogMs: 1000 }

/** @param groups of the threads, by number */
function pool<const G extends readonly string[]>(
  ...groups: G
): { scheduler: Scheduler<string>; slots: { [K in keyof G]: Slot<string> } } {
  const scheduler = new Scheduler<string>(SETTINGS)
  const slots = groups.map((group, index) => scheduler.addSlot(index + 1, group))
  return { scheduler, slots: slots as { [K in keyof G]: Slot<string> } }
}

function warmLane(scheduler: Scheduler<string>, site: string, ...slots: Slot<string>[]): Lane<string> {
  const lane = scheduler.addLane(site, slots[0]?.group ?? 'default', 100)
  for (const slot of slots) scheduler.setWarm(lane, slot)
  return lane
}

function drained(scheduler: Scheduler<string>, slot: Slot<string>): string[] {
  return scheduler.drain(slot).map(({ request }) => request)
}

test('a site is loaded only in threads of its own group', () => {
  const { scheduler, slots } = pool('default', 'shop', 'shop')
  const shop = scheduler.addLane('shop', 'shop', 10)
  slots[1].inFlight = 1

  const first = scheduler.arrive(shop, '1')

  assert.equal(first.load, slots[2], 'the least loaded of its group, not of all')
})

test('a site whose group has no thread waits, and is loaded where one comes', () => {
  const { scheduler } = pool('default')
  const alone = scheduler.addLane('alone', 'site alone', 10)

  const before = scheduler.arrive(alone, '1')
  const slot = scheduler.addSlot(2, 'site alone')
  const target = scheduler.loadTarget(alone)

  assert.deepEqual(before, { slot: undefined, load: undefined, full: false })
  assert.equal(target, slot)
})

test('a site that moved to another group while it was loading is not put in service where it was', () => {
  const { scheduler, slots } = pool('default', 'own')
  const lane = scheduler.addLane('a', 'default', 10)
  scheduler.arrive(lane, '1')

  lane.group = 'own'
  scheduler.setWarm(lane, slots[0])

  assert.deepEqual(drained(scheduler, slots[0]), [])
  assert.equal(scheduler.loadTarget(lane), slots[1])
})

test('a late thread gets nothing, neither what arrives nor what waits', () => {
  const { scheduler, slots } = pool('default')
  const lane = warmLane(scheduler, 'a', slots[0])
  scheduler.setLate(slots[0])

  const placement = scheduler.arrive(lane, '1')

  assert.equal(placement.slot, undefined)
  assert.deepEqual(drained(scheduler, slots[0]), [])
  scheduler.setPunctual(slots[0])
  assert.deepEqual(drained(scheduler, slots[0]), ['1'])
})

test('while one thread is late its sites go on in the others', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = warmLane(scheduler, 'a', ...slots)
  scheduler.setLate(slots[0])

  const placed = ['1', '2', '3'].map((request) => scheduler.arrive(lane, request).slot?.thread)

  assert.deepEqual(placed, [2, 2, undefined])
})

test('for a moment’s lateness a site is loaded nowhere else, once its thread is stalled it is', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = warmLane(scheduler, 'a', slots[0])
  scheduler.setLate(slots[0])

  const late = scheduler.arrive(lane, '1')
  slots[0].stalledMs = 100
  const stalled = scheduler.arrive(lane, '2')

  assert.equal(late.load, undefined)
  assert.equal(stalled.load, slots[1])
})

test('a site that takes long to load waits for its thread twice as long', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = warmLane(scheduler, 'a', slots[0])
  lane.loadMs = 400
  scheduler.setLate(slots[0])

  slots[0].stalledMs = 799
  const early = scheduler.arrive(lane, '1')
  slots[0].stalledMs = 800
  const late = scheduler.arrive(lane, '2')

  assert.equal(early.load, undefined)
  assert.equal(late.load, slots[1])
})

test('a site is loaded where the fewest others are, and never where it is being loaded already', () => {
  const { scheduler, slots } = pool('default', 'default', 'default')
  const lane = scheduler.addLane('cold', 'default', 10)
  const other = scheduler.addLane('other', 'default', 10)
  slots[0].loading.add(other)
  slots[1].loading.add(lane)
  slots[2].inFlight = 1

  const { load } = scheduler.arrive(lane, '1')
  scheduler.setCold(lane, slots[2])
  slots[2].loading.add(other).add(scheduler.addLane('third', 'default', 10))

  assert.equal(load, slots[2])
  assert.equal(scheduler.loadTarget(lane), slots[0])
})

test('no site is loaded in a thread that is not thought of', () => {
  const { scheduler, slots } = pool('default', 'default', 'default')
  const lane = warmLane(scheduler, 'a', slots[0])

  const target = scheduler.loadTarget(lane, (slot) => slot === slots[1])

  assert.equal(target, slots[2])
  assert.equal(
    scheduler.loadTarget(warmLane(scheduler, 'b', slots[0]), () => true),
    undefined,
  )
})

test('no site is loaded in a thread that is late', () => {
  const { scheduler, slots } = pool('default', 'default')
  scheduler.setLate(slots[0])
  slots[1].inFlight = 1

  const { load } = scheduler.arrive(scheduler.addLane('cold', 'default', 10), '1')

  assert.equal(load, slots[1])
})

test('a thread that is punctual again is neither late nor stalled', () => {
  const { scheduler, slots } = pool('default')
  scheduler.setLate(slots[0])
  slots[0].stalledMs = 100

  scheduler.setPunctual(slots[0])

  assert.equal(slots[0].late || slots[0].stalledMs > 0, false)
})

test('a site that was being loaded in a thread that stalled is loaded in another', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = scheduler.addLane('cold', 'default', 10)
  const { load } = scheduler.arrive(lane, '1')
  scheduler.setLate(slots[0])
  slots[0].stalledMs = 100

  const elsewhere = scheduler.arrive(lane, '2')

  assert.equal(load, slots[0])
  assert.equal(elsewhere.load, slots[1])
})

test('a site that may use one thread only goes to another when that one is stalled', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = warmLane(scheduler, 'a', slots[0])
  lane.max = 0.5
  scheduler.setLate(slots[0])
  slots[0].stalledMs = 100

  assert.equal(scheduler.arrive(lane, '1').load, slots[1])
})

test('a site with a most of threads waits for one that stalls, and goes to another when it retires', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = warmLane(scheduler, 'a', slots[0])
  lane.maxThreads = 1
  scheduler.setLate(slots[0])
  slots[0].stalledMs = 100_000

  const whileStalled = scheduler.arrive(lane, '1')
  scheduler.retireSlot(slots[0])

  assert.deepEqual([whileStalled.slot, whileStalled.load], [undefined, undefined])
  assert.equal(scheduler.loadTarget(lane), slots[1])
})

test('a site that keeps a thread is started and loaded nowhere else, and goes on when it is released', () => {
  const { scheduler, slots } = pool('default', 'default', 'default')
  const lane = warmLane(scheduler, 'bad', slots[0], slots[1])
  scheduler.setLate(slots[0])
  slots[0].stalledMs = 100
  scheduler.hold(lane, slots[0])

  const held = scheduler.arrive(lane, '1')
  const drainedWhileHeld = drained(scheduler, slots[1])
  const target = scheduler.loadTarget(lane)
  scheduler.release(lane)

  assert.deepEqual(held, { slot: undefined, load: undefined, full: false })
  assert.deepEqual(drainedWhileHeld, [])
  assert.equal(target, undefined)
  assert.deepEqual(drained(scheduler, slots[1]), ['1'])
})

test('a site that is held takes no turn from those that wait behind it', () => {
  const { scheduler, slots } = pool('default')
  const [bad, good] = [warmLane(scheduler, 'bad', slots[0]), warmLane(scheduler, 'good', slots[0])]
  slots[0].inFlight = 2
  scheduler.arrive(bad, 'b')
  scheduler.arrive(good, 'g1')
  scheduler.arrive(good, 'g2')
  scheduler.hold(bad, slots[0])
  slots[0].inFlight = 0

  const started = drained(scheduler, slots[0])
  scheduler.release(bad)
  slots[0].inFlight = 0

  assert.deepEqual(started, ['g1', 'g2'])
  assert.deepEqual(drained(scheduler, slots[0]), ['b'], 'it is still in the queue')
})

test('the queue of a held site is bounded like any other', () => {
  const { scheduler, slots } = pool('default')
  const lane = warmLane(scheduler, 'bad', slots[0])
  lane.maxWaiting = 1
  scheduler.hold(lane, slots[0])

  assert.deepEqual(
    ['1', '2'].map((request) => scheduler.arrive(lane, request).full),
    [false, true],
  )
})

test('what was taken back from a late thread is first in turn and starts once elsewhere', () => {
  const { scheduler, slots } = pool('default', 'default')
  const lane = warmLane(scheduler, 'a', ...slots)
  slots[1].inFlight = 2
  assert.equal(scheduler.arrive(lane, '1').slot, slots[0])
  scheduler.setLate(slots[0])
  scheduler.arrive(lane, '2')

  slots[0].unbegun--
  scheduler.unassign(lane, slots[0])
  scheduler.putBack(lane, ['1'])
  slots[1].inFlight = 0

  assert.deepEqual(drained(scheduler, slots[1]), ['1', '2'])
  assert.deepEqual([slots[0].inFlight, slots[0].unbegun, lane.inFlight], [0, 0, 2])
})

test('a thread that another site kept is avoided, but better than none', () => {
  const { scheduler, slots } = pool('default', 'default')
  const bad = warmLane(scheduler, 'bad', slots[0])
  const lane = warmLane(scheduler, 'a', ...slots)
  slots[0].keptBy = bad

  const placed = ['1', '2', '3', '4', '5'].map((request) => scheduler.arrive(lane, request).slot?.thread)

  assert.deepEqual(placed, [2, 2, 1, 1, undefined])
})

test('a site is loaded in a thread that nobody kept, however much that has to do', () => {
  const { scheduler, slots } = pool('default', 'default')
  slots[0].keptBy = warmLane(scheduler, 'bad', slots[0])
  slots[1].inFlight = 1
  slots[1].utilisation = 0.9

  assert.equal(scheduler.arrive(scheduler.addLane('cold', 'default', 10), '1').load, slots[1])
})

test('the site that kept a thread does not avoid it', () => {
  const { scheduler, slots } = pool('default', 'default')
  const bad = warmLane(scheduler, 'bad', slots[0])
  slots[0].keptBy = bad

  const placement = scheduler.arrive(bad, '1')

  assert.deepEqual([placement.slot, placement.load], [slots[0], undefined])
})

test('the site that kept a thread is not loaded in one more because of that', () => {
  const { scheduler, slots } = pool('default', 'default')
  const bad = warmLane(scheduler, 'bad', slots[0])
  slots[0].keptBy = bad
  bad.waiting.add('0')

  assert.equal(scheduler.arrive(bad, '1').load, undefined, 'its thread has room')
})

test('a site whose only thread another keeps is loaded elsewhere, and goes on there meanwhile', () => {
  const { scheduler, slots } = pool('default', 'default')
  slots[0].keptBy = warmLane(scheduler, 'bad', slots[0])
  const lane = warmLane(scheduler, 'a', slots[0])

  assert.deepEqual(scheduler.arrive(lane, '1'), { slot: slots[0], load: slots[1], full: false })
})

test('a site that waits for a thread that another keeps again and again is loaded elsewhere at once', () => {
  const { scheduler, slots } = pool('default', 'default')
  const bad = warmLane(scheduler, 'bad', slots[0])
  const lane = warmLane(scheduler, 'a', slots[0])
  scheduler.setLate(slots[0])

  const once = scheduler.arrive(lane, '1')
  slots[0].keptBy = bad
  const again = scheduler.arrive(lane, '2')

  assert.deepEqual([once.load, again.load], [undefined, slots[1]])
})

test('the site that keeps a thread is loaded in no other one, but when it has to leave that', () => {
  const { scheduler, slots } = pool('default', 'default')
  const bad = warmLane(scheduler, 'bad', slots[0])
  slots[0].utilisation = 1

  const before = scheduler.arrive(bad, '1').load
  bad.loading = undefined
  slots[0].keptBy = bad
  const kept = scheduler.arrive(bad, '2').load

  assert.deepEqual([before, kept], [slots[1], undefined])
  assert.equal(
    scheduler.loadTarget(bad, (slot) => slot === slots[0]),
    slots[1],
  )
})

test('a thread whose keeper has left it is avoided no more', () => {
  const { scheduler, slots } = pool('default', 'default')
  const bad = warmLane(scheduler, 'bad', slots[0])
  const lane = warmLane(scheduler, 'a', ...slots)
  slots[0].keptBy = bad

  scheduler.setCold(bad, slots[0])

  assert.equal(scheduler.arrive(lane, '1').slot, slots[0])
})
