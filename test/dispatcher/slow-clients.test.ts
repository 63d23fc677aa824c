import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SlowClient } from '../../src/dispatcher/slow-clients.ts'
import { SlowClients } from '../../src/dispatcher/slow-clients.ts'
import { Exchange } from '../../src/pool/exchange.ts'
import { PoolSite } from '../../src/pool/pool-site.ts'
import type { Slot } from '../../src/pool/scheduler.ts'
import { Scheduler } from '../../src/pool/scheduler.ts'

const SETTINGS = { concurrency: 2000, spreadAt: 4, busyAt: 0.8, packMs: 2, backlogMs: 1e9 }
const SCHEDULER = new Scheduler<Exchange>(SETTINGS)

type Head = ConstructorParameters<typeof Exchange>[1]
type Listener = ConstructorParameters<typeof Exchange>[3]
type Limits = ConstructorParameters<typeof PoolSite>[2]

/** A client whose request has a place in a thread. */
class Client implements SlowClient {
  readonly exchange: Exchange
  received = 0
  isAwaited = true
  unsent = 0
  isCut = false

  constructor(site: PoolSite, slot: Slot<Exchange>) {
    this.exchange = new Exchange(site, {} as Head, true, {} as Listener, 0)
    this.exchange.slot = slot
    this.exchange.state = 'answering'
    slot.inFlight++
    site.lane.inFlight++
  }

  cutOff(): void {
    this.isCut = true
    this.exchange.state = 'done'
    const slot = this.exchange.leaveSlot()
    if (slot !== undefined) SCHEDULER.finish(this.exchange.site.lane, slot)
  }
}

function setUp() {
  const slot = SCHEDULER.addSlot(1, 'default')
  const lane = SCHEDULER.addLane('app', 'default', 10)
  const site = new PoolSite('app', lane, { queue: 10, share: 0, max: 1 } as Limits, () => {})
  const slow = new SlowClients((exchange) => void exchange.lend())
  return { slow, site, slot, clients: (count: number) => Array.from({ length: count }, () => new Client(site, slot)) }
}

test('the place of an answer that is not taken is lent, and taken back when it is', () => {
  const { slow, slot, clients } = setUp()
  const [reader, quick] = clients(2) as [Client, Client]
  const now = performance.now()

  slow.blocked(reader.exchange, reader)
  slow.blocked(quick.exchange, quick)
  slow.unblocked(quick.exchange)
  slow.look(now)
  assert.equal(slot.inFlight, 2)
  slow.look(now + 500)
  assert.deepEqual([reader.exchange.isLent, quick.exchange.isLent, slot.inFlight], [true, false, 1])

  slow.unblocked(reader.exchange)
  assert.deepEqual([reader.exchange.isLent, slot.inFlight], [false, 2])
})

test('the place of a body is lent while it comes slowly, and taken back when it is whole or much of it is there', () => {
  const { slow, slot, clients } = setUp()
  const [trickle, fast, unread, early] = clients(4) as [Client, Client, Client, Client]
  unread.isAwaited = false
  const now = performance.now()
  for (const client of [trickle, fast, unread]) slow.sending(client.exchange, client, false)
  slow.sending(early.exchange, early, true)
  const lent = () => [trickle, fast, unread, early].map(({ exchange }) => exchange.isLent)

  assert.deepEqual(lent(), [false, false, false, true])
  slow.look(now + 100)
  assert.deepEqual(lent(), [false, false, false, true])
  trickle.received += 5
  fast.received += 10_000
  slow.look(now + 200)
  assert.deepEqual(lent(), [true, false, false, true])
  assert.equal(slot.inFlight, 2)

  trickle.received += 70_000
  slow.look(now + 300)
  assert.equal(trickle.exchange.isLent, false)
  for (const client of [trickle, fast, unread, early]) slow.sent(client.exchange)
  assert.deepEqual([slot.inFlight, trickle.exchange.site.lane.lent], [4, 0])
})

test('of too many who do not take their answers those go who have waited longest, of their site alone', () => {
  const { slow, clients } = setUp()
  const other = setUp()
  const [patient] = other.clients(1) as [Client]
  slow.blocked(patient.exchange, patient)
  const all = clients(300)
  const now = performance.now()
  for (const client of all) slow.blocked(client.exchange, client)

  slow.look(now + 500)
  assert.ok(all.every(({ isCut }) => !isCut))
  assert.equal(all.filter(({ exchange }) => exchange.isLent).length, 256)
  slow.look(now + 5_000)

  assert.deepEqual(
    all.map(({ isCut }) => isCut),
    all.map((_, at) => at < 300 - 256),
  )
  assert.equal(patient.isCut, false)
  for (const client of [...all, patient]) slow.unblocked(client.exchange)
})

test('what waits to be read takes no more memory than it may, whether or not its site is done with it', () => {
  const { slow, clients } = setUp()
  const all = clients(200)
  for (const client of all) {
    client.unsent = 1024 * 1024
    client.exchange.state = 'done'
    slow.blocked(client.exchange, client)
  }

  slow.look(performance.now() + 5_000)

  assert.equal(all.filter(({ isCut }) => isCut).length, 200 - 128)
  for (const client of all) slow.unblocked(client.exchange)
})

test('a site whose visitors wait lends no more places than it may: who has sent slowly for longest has to go', () => {
  const { slow, site, clients } = setUp()
  const all = clients(258)
  const now = performance.now()
  for (const client of all) slow.sending(client.exchange, client, false)
  const cut = () => all.flatMap(({ isCut }, at) => (isCut ? [at] : []))

  slow.look(now)
  slow.look(now + 2_000)
  assert.deepEqual([cut(), site.lane.lent], [[], 256])
  const [visitor] = clients(1) as [Client]
  site.lane.waiting.add(visitor.exchange)
  slow.look(now + 2_100)

  assert.deepEqual([cut(), site.lane.lent], [[0, 1], 256])
  for (const client of all) slow.sent(client.exchange)
})
