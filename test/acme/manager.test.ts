import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { readCertificate } from '../../src/acme/certificate.ts'
import { StateFolder } from '../../src/acme/state-folder.ts'
import type { Pebble, PebbleOptions } from '../helpers/pebble.ts'
import { startPebble } from '../helpers/pebble.ts'
import type { Issuing } from './issuing.ts'
import { Place, startIssuing } from './issuing.ts'
import { makePair } from './pairs.ts'

const silent = pino({ level: 'silent' })
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const isGood = ({ state }: { state: string }): boolean => state === 'valid'
const hasFailed = ({ failures }: { failures: number }): boolean => failures > 0

interface World {
  pebble: Pebble
  issuing: Issuing
  place: Place
}

async function startWorld(t: TestContext, options: Partial<PebbleOptions> = {}): Promise<World> {
  const place = await Place.start(t)
  const pebble = await startPebble(t, { httpPort: place.port, tlsPort: 1, ...options })
  const issuing = startIssuing(t, { directory: pebble.directory, caFile: pebble.caFile, place })
  return { pebble, issuing, place }
}

/** Another vhostel on the same state folder, once the first one has ended. */
async function restart(t: TestContext, { pebble, issuing, place }: World): Promise<Issuing> {
  await issuing.manager.close()
  const { directory, caFile } = pebble
  return startIssuing(t, { directory, caFile, place, state: issuing.state })
}

function serialOf(place: Place, site: string): string {
  return place.certificates.get(site)?.cert ?? 'none'
}

test('a site gets its certificate, renews it in time and once, and has it after a restart without asking', async (t) => {
  const world = await startWorld(t)
  const { pebble, issuing, place } = world
  await issuing.want({ blog: ['blog.test', 'www.blog.test'] })

  const status = await issuing.until('blog', isGood)
  const first = serialOf(place, 'blog')
  await issuing.forward(55 * DAY)
  const early = serialOf(place, 'blog')
  await issuing.forward(5 * DAY + MINUTE)
  await issuing.until('blog', () => serialOf(place, 'blog') !== first)
  const renewed = serialOf(place, 'blog')
  const orders = pebble.orders
  place.certificates.clear()
  const again = await restart(t, world)
  await again.want({ blog: ['blog.test', 'www.blog.test'] })

  assert.deepEqual([...status.covered].sort(), ['blog.test', 'www.blog.test'])
  assert.equal(status.failures, 0)
  assert.ok(status.nextTryAt > Date.now() + 55 * DAY && status.nextTryAt < Date.now() + 60 * DAY + MINUTE)
  assert.equal(early, first)
  assert.notEqual(renewed, first)
  assert.equal(orders, 2)
  assert.equal(serialOf(place, 'blog').trim(), renewed.trim())
  assert.equal(again.status('blog').state, 'valid')
  assert.equal(pebble.orders, 2)
  assert.equal(place.httpChallenges.size, 0)
})

test('what the server refuses is told in its words and asked for again after the back-off, not in a loop', async (t) => {
  const world = await startWorld(t, { blocklist: ['blocked.test'] })
  const { pebble, issuing, place } = world
  await pebble.resolve('nowhere.test', '127.0.0.2')
  await issuing.want({ bad: ['good.test', 'nowhere.test'], blocked: ['blocked.test'], fine: ['fine.test'] })

  await issuing.until('fine', isGood)
  const bad = await issuing.until('bad', hasFailed)
  const blocked = await issuing.until('blocked', hasFailed)
  const orders = pebble.orders
  const again = await restart(t, world)
  await again.want({ bad: ['good.test', 'nowhere.test'] })
  const kept = again.status('bad')
  await again.forward(2 * MINUTE)
  const second = await again.until('bad', ({ failures }) => failures === 2)
  await pebble.resolve('nowhere.test', '127.0.0.1')
  await again.forward(3 * MINUTE)
  await again.until('bad', isGood)

  assert.equal(bad.state, 'waiting')
  assert.equal(bad.reasons.length, 1)
  assert.match(bad.reasons[0] ?? '', /^nowhere\.test: .*127\.0\.0\.2.*connection refused.* \(connection\)$/)
  assert.ok(bad.nextTryAt > Date.now() && bad.nextTryAt < Date.now() + 73_000)
  assert.match(blocked.reasons.join('\n'), /forbidden by policy: "blocked\.test" \(rejectedIdentifier\)/)
  assert.equal(issuing.said('no certificate was issued').length, 2)
  assert.deepEqual(
    issuing
      .said('no certificate was issued')
      .map(({ reasons }) => reasons)
      .sort(),
    [blocked.reasons, bad.reasons].sort(),
  )
  assert.deepEqual([kept.failures, kept.reasons, kept.state], [1, bad.reasons, 'waiting'])
  assert.ok(second.nextTryAt - again.now > MINUTE && second.nextTryAt - again.now < 3 * MINUTE)
  assert.equal(pebble.orders, orders + 2)
  assert.equal(place.httpChallenges.size, 0)
})

test('while the server is gone nothing is lost, and all get their certificates when it is back', async (t) => {
  const { pebble, issuing, place } = await startWorld(t)
  await issuing.want({ first: ['first.test'] })
  await issuing.until('first', isGood)
  const first = serialOf(place, 'first')
  await pebble.stop()
  const names = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`site${index}`, [`site${index}.test`]]))
  await issuing.want({ first: ['first.test'], ...names })

  const gone = await issuing.until('site0', ({ reasons }) => reasons.length > 0)
  await issuing.forward(61 * DAY)
  await issuing.until('first', () => issuing.said('the ACME server cannot be asked for certificates').length === 2)
  const meanwhile = serialOf(place, 'first')
  await pebble.start()
  await issuing.forward(5 * MINUTE)
  for (const site of Object.keys(names)) await issuing.until(site, isGood)
  await issuing.until('first', () => serialOf(place, 'first') !== first)

  assert.match(gone.reasons[0] ?? '', new RegExp(`^${pebble.directory}: .*ECONNREFUSED`))
  assert.equal(gone.failures, 0)
  assert.equal(meanwhile, first)
  assert.equal(issuing.said('the ACME server can be asked again').length, 1)
  assert.equal(issuing.said('no certificate was issued').length, 0)
})

test('names that come need a certificate at once, names that go none, and a site that goes loses its own', async (t) => {
  const { pebble, issuing, place } = await startWorld(t)
  await issuing.want({ blog: ['a.test', 'b.test'] })
  await issuing.until('blog', isGood)
  await issuing.want({ blog: ['a.test'] })
  const fewer = issuing.status('blog')
  await issuing.want({ blog: ['a.test', 'b.test', 'c.test'] })
  const more = issuing.status('blog')
  await issuing.forward(MINUTE)
  const whole = await issuing.until('blog', isGood)
  await issuing.want({})

  assert.equal(fewer.state, 'valid')
  assert.equal(more.state, 'incomplete')
  assert.ok(more.nextTryAt <= issuing.now + MINUTE)
  assert.deepEqual([...whole.covered].sort(), ['a.test', 'b.test', 'c.test'])
  assert.equal(pebble.orders, 2)
  assert.equal(place.certificates.size, 0)
  assert.equal(issuing.manager.status('blog'), undefined)
})

test('a site that goes while it is asked for gets nothing, and finds its certificate when it comes back', async (t) => {
  const { pebble, issuing, place } = await startWorld(t)
  await issuing.want({ blog: ['blog.test'] })
  await issuing.want({})
  const folder = await StateFolder.open(issuing.state, pebble.directory, silent)
  const deadline = Date.now() + 20_000
  while ((await folder.certificate('blog')) === undefined && Date.now() < deadline) await delay(5)
  await issuing.want({ blog: ['blog.test'] })

  await issuing.until('blog', isGood)

  assert.equal(pebble.orders, 1)
  assert.equal(place.certificates.size, 1)
})

test('an account that has another address now is told the server, and remains the same', async (t) => {
  const { pebble, issuing, place } = await startWorld(t)
  await issuing.want({ a: ['a.test'] })
  await issuing.until('a', isGood)
  const folder = await StateFolder.open(issuing.state, pebble.directory, silent)
  const before = await folder.account(undefined)
  await issuing.manager.close()
  const { directory, caFile } = pebble
  const again = startIssuing(t, { directory, caFile, place, state: issuing.state, email: 'me@example.com' })
  await again.want({ a: ['a.test'], b: ['b.test'] })
  await again.until('b', isGood)

  assert.notEqual(before.url, undefined)
  assert.deepEqual(await folder.account('me@example.com'), before)
})

test('a state folder that cannot be written stops all asking, and is told', async (t) => {
  const place = await Place.start(t)
  const pebble = await startPebble(t, { httpPort: place.port, tlsPort: 1 })
  const issuing = startIssuing(t, { directory: pebble.directory, caFile: pebble.caFile, place })
  mkdirSync(dirname(issuing.state), { recursive: true })
  writeFileSync(issuing.state, 'a file in its place')
  await issuing.want({ blog: ['blog.test'] })

  const status = await issuing.until('blog', hasFailed)
  rmSync(issuing.state)
  await issuing.forward(2 * MINUTE)
  await issuing.until('blog', isGood)

  assert.match(status.reasons[0] ?? '', /^the state of ACME cannot be read: E(EXIST|NOTDIR)/)
  assert.equal(pebble.orders, 1)
})

test('a certificate on the disk that is expired is used until there is another; garbage is not', async (t) => {
  const place = await Place.start(t)
  const pebble = await startPebble(t, { httpPort: place.port, tlsPort: 1 })
  const issuing = startIssuing(t, { directory: pebble.directory, caFile: pebble.caFile, place })
  const folder = await StateFolder.open(issuing.state, pebble.directory, silent)
  const old = makePair(['old.test'], 1)
  await folder.saveCertificate('old', old)
  const file = join(folder.dir, 'sites/broken.pem')
  writeFileSync(file, readFileSync(join(folder.dir, 'sites/old.pem'), 'utf8').slice(0, 300))
  chmodSync(file, 0o600)
  await pebble.stop()
  await issuing.forward(2 * DAY)
  await issuing.want({ old: ['old.test'], broken: ['broken.test'] })

  const used = [place.certificates.get('old')?.cert.trim(), issuing.status('old').notAfter]
  const broken = place.certificates.has('broken')
  await pebble.start()
  await issuing.forward(2 * MINUTE)
  for (const site of ['old', 'broken']) await issuing.until(site, isGood)

  assert.deepEqual(used, [old.cert.trim(), readCertificate(old).notAfter])
  assert.equal(broken, false)
  assert.equal(issuing.said('the certificate is expired; it stays in use until there is another').length, 1)
})

test('50 sites get their certificates within a minute', async (t) => {
  const { pebble, issuing } = await startWorld(t)
  const names = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`s${index}`, [`s${index}.test`]]))
  const startedAt = performance.now()
  await issuing.want(names)

  for (const site of Object.keys(names)) await issuing.until(site, isGood)

  const seconds = (performance.now() - startedAt) / 1000
  t.diagnostic(`50 certificates in ${seconds.toFixed(1)} s`)
  assert.ok(seconds < 60, `${seconds} s`)
  assert.equal(pebble.orders, 50)
})

test('100 names are one certificate', async (t) => {
  const { pebble, issuing } = await startWorld(t)
  const names = Array.from({ length: 100 }, (_, index) => `name${index}.test`)
  await issuing.want({ many: names })

  const status = await issuing.until('many', isGood)

  assert.deepEqual([...status.covered].sort(), [...names].sort())
  assert.equal(pebble.orders, 1)
})
