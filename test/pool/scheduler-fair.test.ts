import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lane, SchedulerSettings, Slot } from '../../src/pool/scheduler.ts'
import { Scheduler } from '../../src/pool/scheduler.ts'

const SETTINGS = { concurrency: 1000, spreadAt: 1, busyAt: 0.8, packMs: 0, backlogMs: 10 }
/** Requests that a thread may be handed beyond what it has begun, whatever they cost. */
const BATCH = 4
const UNKNOWN_COST = 64

/** One thread and the sites that are warm in it; a request is begun as soon as it is handed over. */
class Thread {
  readonly scheduler: Scheduler<number>
  readonly slot: Slot<number>
  readonly running: Lane<number>[] = []
  readonly turns = new Map<Lane<number>, number>()
  #count = 0

  constructor(settings: Partial<SchedulerSettings> = {}) {
    this.scheduler = new Scheduler<number>({ ...SETTINGS, concurrency: 1, ...settings })
    this.slot = this.scheduler.addSlot(1, 'default')
  }

  lane(terms: { share?: number; max?: number } = {}): Lane<number> {
    const lane = this.scheduler.addLane(`site${this.#count++}`, 'default', 1_000_000)
    Object.assign(lane, terms)
    this.scheduler.setWarm(lane, this.slot)
    return lane
  }

  arrive(lane: Lane<number>): boolean {
    const { slot } = this.scheduler.arrive(lane, this.#count++)
    if (slot !== undefined) this.#begin(lane)
    return slot !== undefined
  }

  /** Lets the oldest request end and hands its place on, `rounds` times, with requests of these sites always waiting. */
  serve(rounds: number, ...hungry: Lane<number>[]): number[] {
    this.turns.clear()
    for (let round = 0; round < rounds; round++) {
      for (const lane of hungry) for (let tries = 0; lane.waiting.size < 2 && tries < 10; tries++) this.arrive(lane)
      this.#finish()
    }
    return hungry.map((lane) => this.turns.get(lane) ?? 0)
  }

  #begin(lane: Lane<number>): void {
    this.slot.unbegun--
    this.running.push(lane)
  }

  #finish(): void {
    const lane = this.running.shift()
    if (lane !== undefined) this.scheduler.finish(lane, this.slot)
    for (const assignment of this.scheduler.drain(this.slot)) {
      this.#begin(assignment.lane)
      this.turns.set(assignment.lane, (this.turns.get(assignment.lane) ?? 0) + 1)
    }
  }
}

function assertNear(actual: number | undefined, expected: number, within: number): void {
  assert.ok(actual !== undefined && Math.abs(actual - expected) <= within, `${actual}, wanted ${expected} ± ${within}`)
}

/** @returns how many of 300 requests a thread is handed that begins none of them */
function handedOver(costMs: number): number {
  const scheduler = new Scheduler<number>(SETTINGS)
  const slot = scheduler.addSlot(1, 'default')
  const lane = scheduler.addLane('a', 'default', 1000)
  scheduler.setWarm(lane, slot)
  slot.costMs = costMs
  return Array.from({ length: 300 }, (_, id) => scheduler.arrive(lane, id)).filter((one) => one.slot !== undefined)
    .length
}

test('a thread is handed no more than some ms of work that it has not begun, but a batch in any case', () => {
  assert.equal(handedOver(0.1), 100)
  assert.equal(handedOver(1), 10)
  assert.equal(handedOver(50), BATCH)
  assert.equal(handedOver(0), 300)
  assert.equal(handedOver(Number.POSITIVE_INFINITY), UNKNOWN_COST, 'the cost is not known yet')
})

test('as a thread begins what it has it is handed more, in order', () => {
  const scheduler = new Scheduler<number>(SETTINGS)
  const slot = scheduler.addSlot(1, 'default')
  const lane = scheduler.addLane('a', 'default', 1000)
  scheduler.setWarm(lane, slot)
  slot.costMs = 1
  for (let id = 0; id < 20; id++) scheduler.arrive(lane, id)

  slot.unbegun -= 3
  const more = scheduler.drain(slot).map(({ request }) => request)

  assert.deepEqual(more, [10, 11, 12])
  assert.deepEqual(scheduler.drain(slot), [])
})

test('sites that wait for one thread get the same number of turns, be they two or many', () => {
  for (const count of [2, 3, 20]) {
    const thread = new Thread()
    const lanes = Array.from({ length: count }, () => thread.lane())

    const turns = thread.serve(100 * count, ...lanes)

    for (const one of turns) assertNear(one, 100, 1)
  }
})

test('a share is at least that part of the turns, and the others have the same part of the rest', () => {
  for (const [share, others] of [
    [0.5, 1],
    [0.5, 9],
    [0.1, 19],
    [0.9, 3],
  ] as const) {
    const thread = new Thread()
    const lanes = [thread.lane({ share }), ...Array.from({ length: others }, () => thread.lane())]

    const [own, ...rest] = thread.serve(4000, ...lanes)

    assert.ok(own !== undefined && own >= 4000 * share, `${own} of 4000 with a share of ${share} beside ${others}`)
    for (const one of rest) assertNear(one, (4000 - own) / others, 3)
  }
})

/** Has the site keep the thread for so long in each turn, where `backlogMs` is the most that is usual. */
function keeps(thread: Thread, lane: Lane<number>, keptMs: number): void {
  thread.slot.keptBy = lane
  lane.keptMs = keptMs
}

test('a site that keeps the thread for long in its turns has the fewer of them', () => {
  const thread = new Thread()
  const [keeper, a, b] = [thread.lane(), thread.lane(), thread.lane()]
  keeps(thread, keeper, 100)

  const [own, ...others] = thread.serve(2_100, keeper, a, b)

  assertNear(own, 100, 3)
  for (const one of others) assertNear(one, 1_000, 5)
})

test('a share counts for a site that keeps its thread as for any other', () => {
  const thread = new Thread()
  const [keeper, other] = [thread.lane({ share: 0.6 }), thread.lane()]
  keeps(thread, keeper, 100)

  const [own, rest] = thread.serve(1_400, keeper, other)

  // 0.8 of what counts ten times, and 0.2 of what counts once.
  assertNear(own, 400, 5)
  assertNear(rest, 1_000, 5)
})

test('a small request does not wait for more than one turn of a site that keeps the thread', () => {
  const thread = new Thread()
  const [keeper, small] = [thread.lane(), thread.lane()]
  thread.serve(200, keeper)
  keeps(thread, keeper, 100)

  for (let visit = 0; visit < 100; visit++) {
    const [before, turns] = thread.serve(2, keeper, small)
    for (const request of [...small.waiting]) thread.scheduler.cancel(small, request)

    assert.ok((turns ?? 0) >= 1, `visit ${visit}: ${turns} turns, ${before} of the keeper`)
  }
})

test('a site that kept another thread, or less than is usual, has its turns as any other', () => {
  const thread = new Thread()
  const lanes = [thread.lane(), thread.lane(), thread.lane()] as const
  lanes[0].keptMs = 100
  keeps(thread, lanes[1], 5)

  for (const one of thread.serve(300, ...lanes)) assertNear(one, 100, 1)
})

test('a site whose long turns are over does not wait until others have caught up with them', () => {
  const thread = new Thread()
  const [keeper, other] = [thread.lane(), thread.lane()]
  keeps(thread, keeper, 10_000)
  thread.serve(100, keeper, other)
  thread.slot.keptBy = undefined

  for (const one of thread.serve(200, keeper, other)) assertNear(one, 100, 3)
})

test('several shares hold beside each other', () => {
  const thread = new Thread()
  const lanes = [0.3, 0.2, 0.1, 0, 0, 0].map((share) => thread.lane({ share }))

  const turns = thread.serve(6000, ...lanes)

  for (const [index, share] of [0.3, 0.2, 0.1, 0, 0, 0].entries()) {
    assertNear(turns[index], 6000 * (share + 0.4 / 6), 10)
  }
})

test('shares that come to all there is, or to more, starve nobody', () => {
  for (const shares of [
    [1, 0],
    [0.5, 0.5, 0],
    [0.9, 0.9, 0, 0],
  ]) {
    const thread = new Thread()
    const lanes = shares.map((share) => thread.lane({ share }))

    const turns = thread.serve(3000, ...lanes)

    for (const [index, one] of turns.entries()) assert.ok(one >= 5, `${shares}: site ${index} had ${one} turns`)
    for (const lane of lanes) assert.ok(Number.isFinite(lane.turns), `${lane.turns}`)
  }
})

test('a site that was away saves up nothing', () => {
  const thread = new Thread()
  const [away, a, b] = [thread.lane(), thread.lane(), thread.lane()]
  thread.serve(30, away, a, b)
  for (const request of [...away.waiting]) thread.scheduler.cancel(away, request)
  thread.serve(3000, a, b)

  const turns = thread.serve(300, away, a, b)

  for (const one of turns) assertNear(one, 100, 3)
})

test('a site that comes new to old ones is neither starved nor favoured', () => {
  const thread = new Thread()
  const [a, b] = [thread.lane(), thread.lane()]
  thread.serve(5000, a, b)

  const turns = thread.serve(300, thread.lane(), a, b)

  for (const one of turns) assertNear(one, 100, 3)
})

test('a site that comes and goes gets no more than one that waits all the time', () => {
  const thread = new Thread()
  const [visitor, a, b] = [thread.lane(), thread.lane(), thread.lane()]
  let [visits, stays] = [0, 0]

  for (let round = 0; round < 200; round++) {
    visits += thread.serve(6, visitor, a, b)[0] ?? 0
    for (const request of [...visitor.waiting]) thread.scheduler.cancel(visitor, request)
    stays += thread.serve(6, a, b)[0] ?? 0
  }

  assert.ok(visits <= 3 * 200, `${visits} turns in 200 visits of 6 turns for 3`)
  assert.ok(stays >= 2 * 200)
})

test('a site that was served alone for long does not wait for others to catch up', () => {
  const thread = new Thread()
  const [alone, late] = [thread.lane(), thread.lane()]
  thread.serve(5000, alone)

  const turns = thread.serve(100, alone, late)

  for (const one of turns) assertNear(one, 50, 2)
})

test('what a site is passed over for does not count as its turn', () => {
  const thread = new Thread({ concurrency: 2 })
  const [few, many] = [thread.lane({ max: 0.5 }), thread.lane()]

  const [own, others] = thread.serve(1000, few, many)

  assertNear(own, 500, 5)
  assertNear(others, 500, 5)
})

test('a site with a most takes no more of the places than that, and uses what it has again', () => {
  const scheduler = new Scheduler<number>({ ...SETTINGS, concurrency: 10 })
  const slots = [scheduler.addSlot(1, 'default'), scheduler.addSlot(2, 'default'), scheduler.addSlot(3, 'other')]
  const lane = scheduler.addLane('a', 'default', 100)
  lane.max = 0.3
  for (const slot of slots.slice(0, 2)) scheduler.setWarm(lane, slot)

  const placed = Array.from({ length: 20 }, (_, id) => scheduler.arrive(lane, id).slot).filter(
    (one) => one !== undefined,
  )
  const [first] = placed
  assert.ok(first)
  first.unbegun--
  scheduler.finish(lane, first)
  const next = scheduler.drain(first)

  assert.equal(placed.length, 6, '30 % of the twenty places of its group')
  assert.equal(next.length, 1)
  assert.equal(lane.inFlight, 6)
})

test('a site with a most is in no more than that part of its group’s threads, but in one', () => {
  for (const [max, count, most] of [
    [0.5, 4, 2],
    [0.01, 4, 1],
    [0.55, 20, 11],
    [1, 4, 4],
  ] as const) {
    const scheduler = new Scheduler<number>(SETTINGS)
    for (let thread = 0; thread < count; thread++) scheduler.addSlot(thread, 'default')
    const lane = scheduler.addLane('a', 'default', 100)
    lane.max = max

    for (let thread = 0; thread < count; thread++) {
      const slot = scheduler.loadTarget(lane)
      if (slot !== undefined) scheduler.setWarm(lane, slot)
    }

    assert.equal(lane.warm.size, most, `${max} of ${count}`)
  }
})

test('a site at its most leaves the place to the next in turn', () => {
  const thread = new Thread({ concurrency: 2 })
  const [few, other] = [thread.lane({ max: 0.5 }), thread.lane()]
  thread.arrive(few)
  thread.arrive(few)

  const placed = thread.arrive(other)

  assert.equal(placed, true)
  assert.equal(few.waiting.size, 1)
})

test('a site that fills its threads leaves the last places of each to others', () => {
  const thread = new Thread({ concurrency: 100 })
  const [greedy, modest] = [thread.lane(), thread.lane()]
  for (let count = 0; count < 200; count++) thread.arrive(greedy)

  const placed = Array.from({ length: 30 }, () => thread.arrive(modest)).filter(Boolean).length

  assert.equal(greedy.inFlight, 75)
  assert.equal(placed, 25)
})
