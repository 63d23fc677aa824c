import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lane, Slot } from '../../src/pool/scheduler.ts'
import { Scheduler } from '../../src/pool/scheduler.ts'

const SETTINGS = { concurrency: 2, spreadAt: 1, busyAt: 0.8, packMs: 2, backlogMs: 1000 }

function threads(count: number, settings = SETTINGS): { scheduler: Scheduler<string>; slots: Slot<string>[] } {
  const scheduler = new Scheduler<string>(settings)
  const slots = Array.from({ length: count }, (_, index) => scheduler.addSlot(index + 1, 'default'))
  return { scheduler, slots }
}

function warmLane(scheduler: Scheduler<string>, site: string, ...slots: Slot<string>[]): Lane<string> {
  const lane = scheduler.addLane(site, 'default', 100)
  for (const slot of slots) scheduler.setWarm(lane, slot)
  return lane
}

test('a cold site waits while the least loaded thread loads it, once', () => {
  const { scheduler, slots } = threads(2)
  warmLane(scheduler, 'other', slots[0] as Slot<string>)
  const lane = scheduler.addLane('cold', 'default', 100)

  const first = scheduler.arrive(lane, 'a')
  const second = scheduler.arrive(lane, 'b')
  scheduler.setWarm(lane, slots[1] as Slot<string>)
  const started = scheduler.drain(slots[1] as Slot<string>).map(({ request }) => request)

  assert.equal(first.load, slots[1], 'the thread with fewer sites')
  assert.equal(second.load, undefined, 'it is being loaded already')
  assert.deepEqual(started, ['a', 'b'])
})

test('a hundred sites on four threads are loaded about a hundred times, evenly', () => {
  const { scheduler, slots } = threads(4, { ...SETTINGS, concurrency: 100 })

  for (let site = 0; site < 100; site++) {
    const lane = scheduler.addLane(`site${site}`, 'default', 10)
    const { load } = scheduler.arrive(lane, 'request')
    assert.ok(load)
    scheduler.setWarm(lane, load)
    scheduler.drain(load)
    scheduler.finish(lane, load)
  }

  assert.deepEqual(
    slots.map((slot) => slot.lanes.size),
    [25, 25, 25, 25],
  )
})

test('small requests fill one warm thread while its work in hand is next to nothing', () => {
  const { scheduler, slots } = threads(2, { ...SETTINGS, concurrency: 100 })
  const lane = warmLane(scheduler, 'a', ...slots)
  const [one, two] = slots as [Slot<string>, Slot<string>]
  const place = (): Slot<string> | undefined => scheduler.arrive(lane, 'x').slot

  assert.deepEqual([place(), place()], [one, two], 'what a request costs is not known yet')
  scheduler.finish(lane, one)
  scheduler.finish(lane, two)
  scheduler.sampled(one, 0.1, 0.5)
  const cheap = Array.from({ length: 6 }, place)

  assert.deepEqual(cheap, [one, one, one, one, two, two], 'four of 0.5 ms each are 2 ms of work')
})

test('requests are shared out where a thread is busy, or each costs much', () => {
  for (const [utilisation, busyMs] of [
    [0.9, 0.1],
    [0.5, 100],
  ] as const) {
    const { scheduler, slots } = threads(2, { ...SETTINGS, concurrency: 100 })
    const lane = warmLane(scheduler, 'a', ...slots)
    const [one, two] = slots as [Slot<string>, Slot<string>]
    scheduler.arrive(lane, 'x')
    scheduler.finish(lane, one)
    for (const slot of slots) scheduler.sampled(slot, utilisation, busyMs)

    const placed = Array.from({ length: 4 }, () => scheduler.arrive(lane, 'y').slot)

    assert.equal(placed.filter((slot) => slot === two).length, 2)
  }
})

test('a sample without requests leaves what is known of their cost', () => {
  const { scheduler, slots } = threads(1)
  const [slot] = slots as [Slot<string>]
  const lane = warmLane(scheduler, 'a', slot)
  scheduler.arrive(lane, 'x')
  scheduler.finish(lane, slot)
  scheduler.sampled(slot, 0.5, 10)

  scheduler.sampled(slot, 0, 0)

  assert.equal(slot.costMs, 10)
  assert.equal(slot.utilisation, 0)
})

test('a request goes to the warm thread with the least in flight', () => {
  const { scheduler, slots } = threads(2)
  const lane = warmLane(scheduler, 'a', ...slots)
  const busy = warmLane(scheduler, 'busy', slots[0] as Slot<string>)
  scheduler.arrive(busy, 'x')

  const placement = scheduler.arrive(lane, 'y')

  assert.equal(placement.slot, slots[1])
})

test('beyond the concurrency of its threads a site is loaded in one more', () => {
  const { scheduler, slots } = threads(2)
  const lane = warmLane(scheduler, 'a', slots[0] as Slot<string>)
  scheduler.arrive(lane, '1')
  scheduler.arrive(lane, '2')

  const third = scheduler.arrive(lane, '3')

  assert.equal(third.slot, undefined)
  assert.equal(third.load, slots[1])
})

test('a site spreads when all its threads are busy, and not because many wait for something else', () => {
  const { scheduler, slots } = threads(2)
  const lane = warmLane(scheduler, 'a', slots[0] as Slot<string>)

  const calm = scheduler.arrive(lane, '1')
  ;(slots[0] as Slot<string>).utilisation = 0.9
  const busy = scheduler.arrive(lane, '2')

  assert.equal(calm.load, undefined)
  assert.equal(busy.load, slots[1])
})

test('a full queue refuses, and a cancelled request makes room', () => {
  const { scheduler } = threads(1)
  const lane = scheduler.addLane('a', 'default', 1)
  scheduler.arrive(lane, 'first')

  const refused = scheduler.arrive(lane, 'second')
  const cancelled = scheduler.cancel(lane, 'first')
  const accepted = scheduler.arrive(lane, 'third')

  assert.equal(refused.full, true)
  assert.equal(cancelled, true)
  assert.equal(accepted.full, false)
  assert.deepEqual([...lane.waiting], ['third'])
})

test('waiting sites get a free place in turn, however long one of the queues is', () => {
  const { scheduler, slots } = threads(1, { ...SETTINGS, concurrency: 1 })
  const slot = slots[0] as Slot<string>
  const greedy = warmLane(scheduler, 'greedy', slot)
  const modest = warmLane(scheduler, 'modest', slot)
  for (let count = 0; count < 5; count++) scheduler.arrive(greedy, `g${count}`)
  scheduler.arrive(modest, 'm0')
  const order: string[] = []
  let running: Lane<string> = greedy

  for (let count = 0; count < 5; count++) {
    scheduler.finish(running, slot)
    for (const { request, lane } of scheduler.drain(slot)) {
      order.push(request)
      running = lane
    }
  }

  assert.deepEqual(order, ['g1', 'm0', 'g2', 'g3', 'g4'])
})

test('a retiring thread takes nothing new and is no home of any site', () => {
  const { scheduler, slots } = threads(2)
  const lane = warmLane(scheduler, 'a', ...slots)

  scheduler.retireSlot(slots[0] as Slot<string>)
  const placements = [scheduler.arrive(lane, '1'), scheduler.arrive(lane, '2'), scheduler.arrive(lane, '3')]

  assert.deepEqual(
    placements.map(({ slot }) => slot?.thread),
    [2, 2, undefined],
  )
  assert.deepEqual([...lane.warm], [slots[1]])
})

test('a site is not loaded in a thread that had a generation of it before', () => {
  const { scheduler, slots } = threads(2)
  const lane = scheduler.addLane('a', 'default', 10)
  ;(slots[0] as Slot<string>).spoiled.add(lane)

  const { load } = scheduler.arrive(lane, '1')

  assert.equal(load, slots[1])
})

test('what a lost thread had not begun is first in its queue again', () => {
  const { scheduler } = threads(1)
  const lane = scheduler.addLane('a', 'default', 10)
  scheduler.arrive(lane, 'later')

  scheduler.putBack(lane, ['lost1', 'lost2'])

  assert.deepEqual([...lane.waiting], ['lost1', 'lost2', 'later'])
})
