import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { ProxySettings } from '../../src/config/site-backend.ts'
import { Target } from '../../src/dispatcher/proxy/target.ts'
import type { GroupLimits, Job } from '../../src/dispatcher/proxy/upstream-group.ts'
import { UpstreamGroup } from '../../src/dispatcher/proxy/upstream-group.ts'

const SETTINGS: ProxySettings = {
  connectTimeoutMs: 1000,
  readTimeoutMs: 1000,
  keepaliveMs: 1000,
  connections: 10,
  restMs: 30_000,
  tunnels: 10,
  bufferBytes: 0,
  tunnelIdleMs: 1000,
  hostHeader: 'visitor',
  paths: [],
  stripsPath: false,
  tls: { ca: undefined, isVerified: true, name: undefined },
}
const LIMITS: GroupLimits = { connections: 2, tunnels: 1, queue: 2, queueTimeoutMs: 30_000, restMs: 30_000 }

/** Upstreams on which no connection is ever opened. */
function targets(count: number): Target[] {
  return Array.from({ length: count }, (_, at) => new Target({ kind: 'unix', path: `/none/${at}` }, SETTINGS))
}

class Request implements Job {
  readonly isTunnel: boolean
  readonly tried = new Set<Target>()
  target: Target | undefined
  code: string | undefined

  constructor(isTunnel = false) {
    this.isTunnel = isTunnel
  }

  run(target: Target): void {
    this.target = target
  }

  fail(error: Error & { code?: string }): void {
    this.code = error.code
  }
}

function group(t: TestContext, upstreams: Target[], limits: Partial<GroupLimits> = {}): UpstreamGroup {
  const made = new UpstreamGroup('shop', { ...LIMITS, ...limits })
  made.targets = upstreams
  t.after(() => made.failWaiting(new Error('the test is over')))
  return made
}

function take(from: UpstreamGroup, job = new Request()): Request {
  from.take(job)
  return job
}

test('the least busy upstream is taken, and equally busy ones take turns', (t) => {
  const [a, b] = targets(2) as [Target, Target]
  const upstreams = group(t, [a, b])

  const jobs = [take(upstreams), take(upstreams), take(upstreams)]
  const first = jobs[0] as Request
  upstreams.release(first, first.target as Target)

  assert.deepEqual([a.busy, b.busy].sort(), [1, 1])
  take(upstreams)
  take(upstreams)
  assert.deepEqual([a.busy, b.busy, upstreams.inFlight], [2, 2, 4])
})

test('those for whom there is no room wait in turn, and beyond the queue they are refused', (t) => {
  const [a] = targets(1) as [Target]
  const upstreams = group(t, [a])
  const [first] = [take(upstreams), take(upstreams)]

  const waiting = [take(upstreams), take(upstreams)]
  const refused = take(upstreams)
  const tunnel = take(upstreams, new Request(true))
  const noTunnel = take(upstreams, new Request(true))
  upstreams.release(first as Request, a)

  assert.equal(refused.code, 'VHOSTEL_UPSTREAMS_BUSY')
  assert.deepEqual([tunnel.target, noTunnel.code], [a, 'VHOSTEL_UPSTREAMS_BUSY'])
  assert.deepEqual(
    waiting.map(({ target }) => target),
    [a, undefined],
  )
  upstreams.cancel(waiting[1] as Request)
  assert.equal(upstreams.waiting, 0)
})

test('one who waits too long is refused, and one who waits for a start gets the first that is there', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const upstreams = group(t, [], { queueTimeoutMs: 1000 })
  const late = take(upstreams)
  t.mock.timers.tick(1000)
  const [job, tunnel] = [take(upstreams), take(upstreams, new Request(true))]
  const [a] = targets(1) as [Target]

  upstreams.targets = [a]

  assert.equal(late.code, 'VHOSTEL_UPSTREAM_WAIT_TIMEOUT')
  assert.deepEqual([job.target, tunnel.target], [a, a])
})

test('a failed upstream rests, longer each time, while others answer; when all rest, the one whose rest ends first is asked', (t) => {
  const [a, b] = targets(2) as [Target, Target]
  const upstreams = group(t, [a, b], { connections: 100, restMs: 3_000 })

  assert.deepEqual([upstreams.failed(a), upstreams.failed(a)], [1000, 0])
  const jobs = Array.from({ length: 5 }, () => take(upstreams).target)
  assert.deepEqual([...new Set(jobs)], [b])
  upstreams.failed(b)
  assert.equal(take(upstreams).target, a)
  a.restUntil = 0
  assert.equal(upstreams.failed(a), 2000)
  a.restUntil = 0
  assert.equal(upstreams.failed(a), 3000)
})

test('an upstream that a request was tried on is taken again only where there is no other', (t) => {
  const [a, b] = targets(2) as [Target, Target]
  const upstreams = group(t, [a, b])
  const job = new Request()
  job.tried.add(a)
  upstreams.failed(b)

  assert.equal(upstreams.hasOther(job), true)
  assert.equal(take(upstreams, job).target, b)
  job.tried.add(b)
  assert.equal(upstreams.hasOther(job), false)
})
