import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExchangeListener } from '../../src/pool/exchange.ts'
import { Exchange } from '../../src/pool/exchange.ts'
import type { SiteLimits } from '../../src/pool/pool-site.ts'
import { PoolSite } from '../../src/pool/pool-site.ts'
import { Scheduler } from '../../src/pool/scheduler.ts'
import { tuned } from '../../src/pool/tuning.ts'

const LIMITS: SiteLimits = {
  timeoutMs: 3_600_000,
  queue: 10,
  queueTimeoutMs: 1_000,
  stopTimeoutMs: 1_000,
  slowMs: 1_000,
  softLimitMs: 2_000,
  hardLimitMs: 10_000,
  offences: 3,
  quarantineMs: 1_000,
  idleMs: 0,
  preload: false,
  share: 0,
  max: 1,
  maxThreads: undefined,
}

const HEAD = {
  generation: 0,
  method: 'GET',
  url: '/',
  httpMinor: 1,
  headers: [],
  remoteAddress: '',
  remotePort: 0,
  localAddress: '',
  localPort: 0,
  encrypted: false,
  keepAlive: true,
  upgrade: false,
}

test('a shorter timeout holds for the requests that are there, and for those that come', async () => {
  const late: Exchange[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  // The site's own timer keeps no process alive.
  const deadline = setTimeout(resolve, 5_000)
  const lane = new Scheduler<Exchange>(tuned(10)).addLane('a', 'default', 10)
  const site = new PoolSite('a', lane, LIMITS, (exchange) => {
    late.push(exchange)
    if (late.length === 2) resolve()
  })
  const arrive = (): Exchange => {
    const exchange = new Exchange(site, HEAD, false, {} as ExchangeListener, performance.now())
    site.arrived(exchange)
    return exchange
  }
  const before = arrive()

  site.adopt({ ...LIMITS, timeoutMs: 20 })
  const after = arrive()
  await promise
  clearTimeout(deadline)

  assert.deepEqual(late, [before, after])
})
