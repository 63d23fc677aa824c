import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boardMemory, isRevocable, ThreadBoard } from '../../src/core/thread-board.ts'

/** Requests that can be told apart by their word. */
const APART = 4096
/** The last number before they start from 1 again (src/pool/thread-link.ts). */
const LAST_ID = 0xffff_fff0

function board(): ThreadBoard {
  return new ThreadBoard(boardMemory())
}

test('a request that the thread has begun cannot be revoked', () => {
  const both = board()

  const claimed = both.claim(7)

  assert.equal(claimed, true)
  assert.equal(both.revoke(7), false)
})

test('a revoked request is not begun, and is revoked once', () => {
  const both = board()

  const revoked = [both.revoke(7), both.revoke(7)]

  assert.deepEqual(revoked, [true, false])
  assert.equal(both.claim(7), false)
  assert.equal(both.revoke(7), false, 'also after the thread has come to it')
})

test('every number of the first round can be revoked, and every one of them claimed', () => {
  const [revoked, claimed] = [board(), board()]

  for (let id = 1; id <= APART; id++) {
    assert.equal(revoked.revoke(id), true)
    assert.equal(revoked.claim(id), false)
    assert.equal(claimed.claim(id), true)
    assert.equal(claimed.revoke(id), false)
  }
})

test('numbers that share a word do not take each other’s place, round after round', () => {
  const both = board()

  for (let id = 5; id < 5 + 20 * APART; id += APART) {
    const isRevoked = id % (3 * APART) === 5 ? both.revoke(id) : false
    assert.equal(both.claim(id), !isRevoked)
    assert.equal(both.revoke(id), false)
  }
})

test('numbers near 2^32, and the first ones after them, are claimed and revoked like any other', () => {
  const both = board()
  for (let id = LAST_ID - 2 * APART; id <= LAST_ID; id++) both.claim(id)

  const around = [LAST_ID - 1, LAST_ID, 1, 2, 0x7fff_ffff, 0x8000_0000]
  const fresh = around.map((id) => {
    const one = board()
    return [one.revoke(id), one.claim(id), one.revoke(id)]
  })
  const wrapped = [1, 2, 3].map((id) => [both.revoke(id), both.claim(id)])
  const begun = [4, 5, 6].map((id) => [both.claim(id), both.revoke(id)])

  assert.deepEqual(fresh, Array(around.length).fill([true, false, false]))
  assert.deepEqual(wrapped, Array(3).fill([true, false]))
  assert.deepEqual(begun, Array(3).fill([true, false]))
})

test('an order to revoke that comes when a newer number took the word is refused', () => {
  for (const id of [5, 1, APART, APART - 1, LAST_ID - APART, LAST_ID - 6 - APART]) {
    const both = board()
    both.claim(id)
    both.claim(id + APART)

    assert.equal(both.revoke(id), false, `${id} was begun`)
  }
})

test('of two numbers that share a word and wait both, each is begun or revoked and never both', () => {
  for (const order of [
    [5, 5 + APART],
    [5 + APART, 5],
  ]) {
    const both = board()

    const revoked = new Set(order.filter((id) => both.revoke(id)))
    const begun = new Set([5, 5 + APART].filter((id) => both.claim(id)))

    for (const id of order) assert.notEqual(begun.has(id), revoked.has(id), `${id}`)
  }
})

test('only a request less than 4096 numbers older than the newest is revocable', () => {
  assert.equal(isRevocable(1, 1), true)
  assert.equal(isRevocable(1, APART), true)
  assert.equal(isRevocable(1, APART + 1), false)
  assert.equal(isRevocable(LAST_ID, LAST_ID), true)
  assert.equal(isRevocable(LAST_ID, 1), false, 'numbers have started again')
  assert.equal(isRevocable(2, 1), false, 'it was not sent')
})

test('what runs, the pulse and the kernel’s number are seen by the other side', () => {
  const memory = boardMemory()
  const [thread, supervisor] = [new ThreadBoard(memory), new ThreadBoard(memory)]
  const before = supervisor.pulse

  thread.kernelId = 1234
  thread.enter(LAST_ID, 0xffff_ffff)
  thread.beat()
  const inside = supervisor.running
  thread.leave()

  assert.equal(supervisor.kernelId, 1234)
  assert.deepEqual(inside, { id: LAST_ID, generation: 0xffff_ffff })
  assert.deepEqual(supervisor.running, { id: 0, generation: 0 })
  assert.notEqual(supervisor.pulse, before)
})

/** Claims numbers in order as fast as it can, a stretch at a time: none before it was "sent" (`state[0]`). */
const CLAIMER = `
  const { workerData, parentPort } = require('node:worker_threads')
  import(workerData.module).then(({ ThreadBoard }) => {
    const board = new ThreadBoard(workerData.memory)
    const { state, begun } = workerData
    for (let id = 1; id < begun.length; id++) {
      while (Atomics.load(state, 0) < id) Atomics.wait(state, 0, id - 1, 1)
      if (board.claim(id)) begun[id] = 1
      Atomics.store(state, 1, id)
    }
    parentPort.postMessage('done')
  })
`

test('in a race of both sides over 200,000 requests, each is begun or revoked, and none both or neither', async (t) => {
  const count = 200_000
  const memory = boardMemory()
  const supervisor = new ThreadBoard(memory)
  const state = new Int32Array(new SharedArrayBuffer(8))
  const begun = new Uint8Array(new SharedArrayBuffer(count + 1))
  const revoked = new Uint8Array(count + 1)
  const module = new URL('../../src/core/thread-board.ts', import.meta.url).href
  const worker = new Worker(CLAIMER, { eval: true, workerData: { module, memory, state, begun } })
  t.after(() => worker.terminate())
  const done = once(worker, 'message')

  // Few numbers apart, so that both come to the same ones at the same time; never more than can be told apart.
  for (let id = 1; id <= count; id++) {
    while (id - Atomics.load(state, 1) > 8) Atomics.load(state, 1)
    Atomics.store(state, 0, id)
    Atomics.notify(state, 0)
    if (supervisor.revoke(id)) revoked[id] = 1
  }
  await done

  let taken = 0
  for (let id = 1; id <= count; id++) {
    if (begun[id] === revoked[id]) assert.fail(`${id}: begun ${begun[id]}, revoked ${revoked[id]}`)
    taken += revoked[id] ?? 0
  }
  assert.ok(taken > 0 && taken < count, `${taken} revoked: both sides won some`)
})
