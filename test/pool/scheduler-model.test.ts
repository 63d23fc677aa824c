/**
 * Plays the pool against the scheduler with random steps, and checks after each what the scheduler promises; at the end
 * everything goes well again, and everybody has to be served.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Lane, Slot } from '../../src/pool/scheduler.ts'
import { lendPlace, reclaimPlace, Scheduler } from '../../src/pool/scheduler.ts'

const CONCURRENCY = 3
const SETTINGS = { concurrency: CONCURRENCY, spreadAt: 2, busyAt: 0.5, packMs: 2, backlogMs: 1000 }

const ofSite = <K extends string>(kind: K) => fc.record({ kind: fc.constant(kind), site: fc.nat(3) })
const ofThread = <K extends string>(kind: K) => fc.record({ kind: fc.constant(kind), thread: fc.nat(3) })
const ofRequest = <K extends string>(kind: K) => fc.record({ kind: fc.constant(kind), pick: fc.nat() })

const step = fc.oneof(
  { weight: 8, arbitrary: ofSite('arrive') },
  { weight: 5, arbitrary: ofRequest('finish') },
  { weight: 2, arbitrary: ofRequest('begin') },
  { weight: 2, arbitrary: ofRequest('lend') },
  { weight: 2, arbitrary: ofRequest('reclaim') },
  { weight: 2, arbitrary: ofThread('takeBack') },
  { weight: 4, arbitrary: ofSite('load') },
  { weight: 2, arbitrary: ofThread('late') },
  { weight: 2, arbitrary: ofThread('punctual') },
  ofThread('stall'),
  fc.record({ kind: fc.constant('hold' as const), site: fc.nat(3), thread: fc.nat(3) }),
  ofSite('release'),
  ofSite('cancel'),
  ofThread('retire'),
  fc.record({ kind: fc.constant('add' as const) }),
  fc.record({
    kind: fc.constant('sample' as const),
    thread: fc.nat(3),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    busyMs: fc.nat(20),
  }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

interface Run {
  request: string
  lane: Lane<string>
  slot: Slot<string>
  isBegun: boolean
  isLent: boolean
}

class Player {
  readonly scheduler = new Scheduler<string>(SETTINGS)
  readonly slots = [this.scheduler.addSlot(1, 'default'), this.scheduler.addSlot(2, 'default')]
  readonly lanes = ['a', 'b', 'c', 'd'].map((site) => this.scheduler.addLane(site, 'default', 5))
  readonly outcome = new Map<string, 'running' | 'waiting' | 'refused' | 'finished' | 'cancelled'>()
  running: Run[] = []
  #count = 0

  constructor() {
    const [, shared, single, bounded] = this.lanes
    if (shared) shared.share = 0.3
    if (single) single.maxThreads = 1
    if (bounded) bounded.max = 0.5
  }

  play(one: Step): void {
    const lane = 'site' in one ? this.lanes[one.site] : undefined
    const slot = 'thread' in one ? this.slots[one.thread] : undefined
    if ('pick' in one) this.#playRequest(one.kind, one.pick)
    else if (one.kind === 'add' && this.slots.length < 6) this.#add()
    else if (one.kind === 'sample' && slot) this.scheduler.sampled(slot, one.share, one.busyMs)
    else if (one.kind === 'hold' && lane && slot?.late && !lane.heldBy) this.scheduler.hold(lane, slot)
    else if (lane) this.#playSite(one.kind, lane)
    else if (slot) this.#playThread(one.kind, slot)
    this.check()
  }

  #playSite(kind: Step['kind'], lane: Lane<string>): void {
    if (kind === 'arrive') this.#arrive(lane)
    else if (kind === 'load' && lane.loading) this.#load(lane, lane.loading)
    else if (kind === 'release') this.#release(lane)
    else if (kind === 'cancel') this.#cancel(lane)
  }

  #playThread(kind: Step['kind'], slot: Slot<string>): void {
    if (kind === 'late') this.scheduler.setLate(slot)
    else if (kind === 'stall' && slot.late) slot.stalledMs = 100
    else if (kind === 'punctual') this.#punctual(slot)
    else if (kind === 'takeBack' && slot.late) this.#takeBack(slot)
    else if (kind === 'retire' && this.slots.filter((one) => one.accepting).length > 1) this.scheduler.retireSlot(slot)
  }

  #playRequest(kind: 'finish' | 'begin' | 'lend' | 'reclaim', pick: number): void {
    const run = this.running[pick % Math.max(1, this.running.length)]
    if (run === undefined) return
    if (kind === 'finish') return this.#finish(run)
    if (kind === 'reclaim') return this.#reclaim(run)
    if (kind === 'begin') this.#begin(run)
    else if (!run.isLent) {
      run.isLent = true
      lendPlace(run.lane, run.slot)
    }
    this.#drainAll()
  }

  #reclaim(run: Run): void {
    if (run.isLent) reclaimPlace(run.lane, run.slot)
    run.isLent = false
  }

  #add(): void {
    this.slots.push(this.scheduler.addSlot(this.slots.length + 1, 'default'))
    this.#drainAll()
  }

  #arrive(lane: Lane<string>): void {
    const request = `${lane.site}${this.#count++}`
    const { slot, load, full } = this.scheduler.arrive(lane, request)
    this.outcome.set(request, slot ? 'running' : full ? 'refused' : 'waiting')
    if (slot) this.#started({ request, lane, slot })
    assert.ok(!load || (!load.late && load.accepting && !lane.heldBy), 'loaded only where and when it may be')
  }

  #begin(run: Run): void {
    if (!run.isBegun) run.slot.unbegun--
    run.isBegun = true
  }

  #finish(run: Run): void {
    this.running = this.running.filter((one) => one !== run)
    this.outcome.set(run.request, 'finished')
    this.#begin(run)
    this.#reclaim(run)
    this.scheduler.finish(run.lane, run.slot)
    this.#drain(run.slot)
    // A site at its `max` may wait for this place in another of its threads.
    for (const slot of run.lane.warm) this.#drain(slot)
  }

  #cancel(lane: Lane<string>): void {
    const [request] = lane.waiting
    if (request === undefined) return
    assert.equal(this.scheduler.cancel(lane, request), true)
    this.outcome.set(request, 'cancelled')
  }

  #load(lane: Lane<string>, slot: Slot<string>): void {
    this.scheduler.setWarm(lane, slot)
    // As the pool does where an earlier load was slow to come.
    for (const surplus of [...lane.warm].slice(lane.maxThreads)) this.scheduler.setCold(lane, surplus)
    this.#drain(slot)
  }

  #release(lane: Lane<string>): void {
    this.scheduler.release(lane)
    for (const slot of lane.warm) this.#drain(slot)
  }

  #punctual(slot: Slot<string>): void {
    this.scheduler.setPunctual(slot)
    for (const lane of this.lanes) if (lane.heldBy === slot) this.#release(lane)
    this.#drain(slot)
  }

  /** What a late thread has not begun waits again, in front. */
  #takeBack(slot: Slot<string>): void {
    const taken = this.running.filter((run) => run.slot === slot && !run.isBegun)
    this.running = this.running.filter((run) => !taken.includes(run))
    for (const [lane, runs] of Map.groupBy(taken, (run) => run.lane)) {
      for (const run of runs) {
        run.slot.unbegun--
        this.#reclaim(run)
        this.outcome.set(run.request, 'waiting')
        this.scheduler.unassign(lane, slot)
      }
      const requests = runs.map(({ request }) => request)
      this.scheduler.putBack(lane, requests)
      assert.deepEqual([...lane.waiting].slice(0, requests.length), requests)
      for (const warm of lane.warm) this.#drain(warm)
    }
    this.#drainAll()
  }

  #drainAll(): void {
    for (const slot of this.slots) this.#drain(slot)
  }

  #drain(slot: Slot<string>): void {
    for (const assignment of this.scheduler.drain(slot)) {
      assert.equal(this.outcome.get(assignment.request), 'waiting')
      this.outcome.set(assignment.request, 'running')
      this.#started(assignment)
    }
  }

  #started({ request, lane, slot }: Omit<Run, 'isBegun' | 'isLent'>): void {
    assert.ok(slot.inFlight <= CONCURRENCY, 'concurrency holds')
    assert.ok(slot.accepting && !slot.late && lane.warm.has(slot) && !lane.heldBy, 'handed only where it may be')
    this.running.push({ request, lane, slot, isBegun: false, isLent: false })
  }

  check(): void {
    for (const slot of this.slots) {
      const runs = this.running.filter((one) => one.slot === slot)
      assert.equal(slot.inFlight, runs.filter((run) => !run.isLent).length)
      assert.equal(slot.unbegun, runs.filter((run) => !run.isBegun).length)
      for (const lane of slot.hungry) assert.ok(lane.waiting.size > 0 && lane.warm.has(slot))
    }
    for (const lane of this.lanes) this.#checkLane(lane)
  }

  #checkLane(lane: Lane<string>): void {
    const runs = this.running.filter((one) => one.lane === lane)
    assert.equal(lane.lent, runs.filter((run) => run.isLent).length)
    assert.equal(lane.inFlight + lane.lent, runs.length)
    assert.ok(Number.isFinite(lane.turns))
    assert.ok(lane.warm.size <= lane.maxThreads)
    for (const request of lane.waiting) assert.equal(this.outcome.get(request), 'waiting', 'given out once')
    for (const slot of lane.warm) {
      assert.ok(slot.accepting && slot.lanes.has(lane))
      assert.equal(slot.hungry.has(lane), lane.waiting.size > 0)
      const isFree = slot.inFlight < CONCURRENCY && !slot.late && !lane.heldBy && lane.max === 1
      assert.ok(lane.waiting.size === 0 || !isFree, 'nobody waits beside a free place')
    }
  }

  /** From now on all threads answer, nothing is held, and everything that runs ends. */
  settle(): void {
    for (const slot of this.slots) this.#punctual(slot)
    for (const lane of this.lanes) this.#release(lane)
    for (let round = 0; round < 100; round++) {
      for (const lane of this.lanes) {
        if (lane.waiting.size > 0 && lane.warm.size === 0) this.scheduler.loadTarget(lane)
        if (lane.loading) this.#load(lane, lane.loading)
      }
      const [run] = this.running
      if (run !== undefined) this.#finish(run)
      this.check()
    }
  }
}

test('whatever happens, no request is lost, given out twice, or left waiting beside a free place', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const player = new Player()
      for (const one of steps) player.play(one)
      player.settle()
      for (const [request, outcome] of player.outcome) {
        assert.ok(outcome !== 'running' && outcome !== 'waiting', `${request} is ${outcome} for ever`)
      }
    }),
    { numRuns: 1000 },
  )
})
