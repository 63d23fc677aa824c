import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { StateFolder } from '../../src/acme/state-folder.ts'
import { makePair } from '../helpers/certificates.ts'
import type { Pebble } from '../helpers/pebble.ts'
import { startPebble } from '../helpers/pebble.ts'
import type { Issuing, IssuingSettings } from './issuing.ts'
import { Place, startIssuing } from './issuing.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const isGood = ({ state }: { state: string }): boolean => state === 'valid'
const hasFailed = ({ failures }: { failures: number }): boolean => failures > 0

/** One server for all tests of this file, which run one after the other, each with its own account and sites. */
let pebble: Pebble
let place: Place

before(async (t) => {
  place = await Place.start(t as TestContext)
  pebble = await startPebble(t as TestContext, { httpPort: place.port, tlsPort: 1, blocklist: ['blocked.test'] })
})

function start(t: TestContext, more: Partial<IssuingSettings> = {}): Issuing {
  place.certificates.clear()
  return startIssuing(t, { directory: pebble.directory, caFile: pebble.caFile, place, ...more })
}

/** Another vhostel on the same state folder, once the first one has ended. */
async function restart(t: TestContext, issuing: Issuing, more: Partial<IssuingSettings> = {}): Promise<Issuing> {
  await issuing.manager.close()
  return start(t, { state: issuing.state, ...more })
}

function openFolder({ state }: Issuing): Promise<StateFolder> {
  return StateFolder.open(state, pebble.directory, pino({ level: 'silent' }))
}

function serialOf(site: string): string {
  return place.certificates.get(site)?.cert ?? 'none'
}

test('a site gets its certificate, renews it in time and once, and has it after a restart without asking', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  const names = ['blog.test', 'www.blog.test']
  await issuing.want({ blog: names })

  const status = await issuing.until('blog', isGood)
  const first = serialOf('blog')
  await issuing.forward(55 * DAY)
  const early = serialOf('blog')
  await issuing.forward(5 * DAY + MINUTE)
  await issuing.until('blog', () => serialOf('blog') !== first)
  const renewed = serialOf('blog')
  const account = await (await openFolder(issuing)).account(undefined)
  const again = await restart(t, issuing, { email: 'me@example.com' })
  await again.want({ blog: names })
  const kept = [again.status('blog').state, serialOf('blog').trim()]
  const orders = pebble.orders - before
  await again.want({ blog: names, shop: ['shop.test'] })
  await again.until('shop', isGood)

  assert.deepEqual([...status.covered].sort(), names)
  assert.equal(status.failures, 0)
  assert.ok(status.nextTryAt > Date.now() + 55 * DAY && status.nextTryAt < Date.now() + 60 * DAY + MINUTE)
  assert.equal(early, first)
  assert.notEqual(renewed, first)
  assert.equal(orders, 2)
  assert.deepEqual(kept, ['valid', renewed.trim()])
  assert.equal(place.httpChallenges.size, 0)
  // With another address it is the same account.
  assert.match(account.url ?? '', /^https:/)
  assert.deepEqual(await (await openFolder(again)).account('me@example.com'), account)
})

test('what the server refuses is told in its words and asked for again after the back-off, not in a loop', async (t) => {
  const issuing = start(t)
  await pebble.resolve('nowhere.test', '127.0.0.2')
  await issuing.want({ bad: ['good.test', 'nowhere.test'], blocked: ['blocked.test'], fine: ['fine.test'] })

  await issuing.until('fine', isGood)
  const bad = await issuing.until('bad', hasFailed)
  const blocked = await issuing.until('blocked', hasFailed)
  const before = pebble.orders
  const again = await restart(t, issuing)
  await again.want({ bad: ['good.test', 'nowhere.test'] })
  const kept = again.status('bad')
  again.manager.retry()
  await again.forward(2 * MINUTE)
  const second = await again.until('bad', ({ failures }) => failures === 2)
  const waitMs = second.nextTryAt - again.now
  await pebble.resolve('nowhere.test', '127.0.0.1')
  await again.forward(3 * MINUTE)
  await again.until('bad', isGood)

  assert.equal(bad.state, 'waiting')
  assert.equal(bad.reasons.length, 1)
  assert.match(bad.reasons[0] ?? '', /^nowhere\.test: .*127\.0\.0\.2.*connection refused.* \(connection\)$/)
  assert.match(blocked.reasons.join('; '), /forbidden by policy: "blocked\.test" \(rejectedIdentifier\)/)
  assert.ok(bad.nextTryAt > Date.now() && bad.nextTryAt < Date.now() + 73_000)
  assert.ok(waitMs > MINUTE && waitMs < 2.4 * MINUTE, String(waitMs))
  const told = issuing.said('no certificate was issued').map(({ site, reasons }) => [site, reasons])
  assert.deepEqual(
    new Map(told as [string, string[]][]),
    new Map([
      ['bad', bad.reasons],
      ['blocked', blocked.reasons],
    ]),
  )
  assert.deepEqual([kept.failures, kept.reasons, kept.state], [1, bad.reasons, 'waiting'])
  assert.equal(pebble.orders - before, 2)
  assert.equal(place.httpChallenges.size, 0)
})

test('a clock that is set back puts nothing off until it is as late again', async (t) => {
  const issuing = start(t)
  await pebble.resolve('early.test', '127.0.0.2')
  await issuing.want({ site: ['early.test'] })
  await issuing.until('site', hasFailed)
  await issuing.forward(DAY)
  await issuing.until('site', ({ failures }) => failures === 2)
  const before = pebble.orders
  await pebble.resolve('early.test', '127.0.0.1')

  await issuing.forward(-DAY)
  const planned = issuing.status('site').nextTryAt - issuing.now
  await issuing.forward(3 * MINUTE)
  await issuing.until('site', isGood)

  assert.ok(planned > MINUTE / 2 && planned < 3 * MINUTE, String(planned))
  assert.equal(pebble.orders - before, 1)
})

test('a clock that is far ahead makes no loop of renewals', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await issuing.forward(70 * DAY)
  await issuing.want({ ahead: ['ahead.test'] })

  const { nextTryAt } = await issuing.until('ahead', ({ state, failures }) => state === 'valid' && failures === 0)
  const restMs = nextTryAt - issuing.now
  await issuing.forward(-70 * DAY)
  const rightly = issuing.status('ahead').nextTryAt - issuing.now

  assert.ok(restMs > 20 * 60 * MINUTE && restMs <= DAY, String(restMs))
  assert.ok(rightly > 55 * DAY - MINUTE, String(rightly))
  const told = 'the certificate that was issued is due for renewal already: is the clock of this machine right?'
  assert.equal(issuing.said(told).length, 1)
  assert.equal(pebble.orders - before, 1)
})

test('a site that goes and comes back while it is asked for gets what was issued meanwhile', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await issuing.want({ back: ['back.test'] })
  const { state } = issuing.status('back')
  await issuing.want({})
  await issuing.want({ back: ['back.test'] })

  await issuing.until('back', isGood)

  assert.equal(state, 'asking')
  assert.equal(place.certificates.has('back'), true)
  assert.equal(pebble.orders - before, 1)
})

test('a state folder that is taken away is made anew, with all that is in use', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await issuing.want({ one: ['one.test'], two: ['two.test'] })
  await issuing.until('one', isGood)
  await issuing.until('two', isGood)
  const { key } = await (await openFolder(issuing)).account(undefined)
  rmSync(issuing.state, { recursive: true })

  await issuing.want({ one: ['one.test'], two: ['two.test'], three: ['three.test'] })
  await issuing.until('three', isGood)
  await issuing.forward(2 * MINUTE)
  const folder = await openFolder(issuing)
  const deadline = Date.now() + 20_000
  const saved = async (): Promise<boolean> => {
    const all = await Promise.all(['one', 'two', 'three'].map((site) => folder.certificate(site)))
    return all.every((one) => one !== undefined)
  }
  while (!(await saved()) && Date.now() < deadline) await delay(5)

  assert.equal(await saved(), true)
  assert.equal((await folder.account(undefined)).key, key)
  assert.equal(pebble.orders - before, 3)
})

test('what could not be read is read before anything is asked for', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await issuing.want({ blog: ['blog.test'] })
  await issuing.until('blog', isGood)
  const away = `${issuing.state}.away`
  await issuing.manager.close()
  renameSync(issuing.state, away)
  writeFileSync(issuing.state, 'a file in its place')

  const again = start(t, { state: issuing.state })
  await again.want({ blog: ['blog.test'] })
  const failed = await again.until('blog', hasFailed)
  rmSync(issuing.state)
  renameSync(away, issuing.state)
  await again.forward(2 * MINUTE)
  const read = await again.until('blog', isGood)

  assert.match(failed.reasons[0] ?? '', /^the state of ACME cannot be read/)
  assert.equal(read.failures, 0)
  assert.equal(pebble.orders - before, 1)
})

test('names that come are asked for at once, names that go are not, and a site that goes loses its own', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await issuing.want({ blog: ['a.test', 'b.test'], brief: ['brief.test'] })
  await issuing.want({ blog: ['a.test', 'b.test'] })
  await issuing.until('blog', isGood)
  const folder = await openFolder(issuing)
  const deadline = Date.now() + 20_000
  while ((await folder.certificate('brief')) === undefined && Date.now() < deadline) await delay(5)
  const brief = place.certificates.has('brief')

  await issuing.want({ blog: ['a.test'], brief: ['brief.test'] })
  const [fewer, back] = [issuing.status('blog'), issuing.status('brief')]
  await issuing.want({ blog: ['a.test', 'b.test', 'c.test'] })
  const more = issuing.status('blog')
  await issuing.forward(MINUTE)
  const whole = await issuing.until('blog', isGood)
  await issuing.want({})

  assert.equal(brief, false)
  assert.deepEqual([fewer.state, back.state, more.state], ['valid', 'valid', 'incomplete'])
  assert.ok(more.nextTryAt <= issuing.now)
  assert.deepEqual([...whole.covered].sort(), ['a.test', 'b.test', 'c.test'])
  assert.equal(pebble.orders - before, 3)
  assert.equal(place.certificates.size, 0)
  assert.equal(issuing.manager.status('blog'), undefined)
})

test('a server that asks for an external account gets it, and who has none is told what to do', async (t) => {
  const [kid, hmacKey] = ['kid-1', 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W']
  const strict = await startPebble(t, { httpPort: place.port, tlsPort: 1, externalAccounts: { [kid]: hmacKey } })
  const at = { directory: strict.directory, caFile: strict.caFile }
  const none = start(t, at)
  const wrong = start(t, { ...at, externalAccount: { kid, hmacKey: hmacKey.replace('z', 'a') } })
  const right = start(t, { ...at, externalAccount: { kid, hmacKey } })

  for (const issuing of [none, wrong, right]) await issuing.want({ blog: ['blog.test'] })
  await right.until('blog', isGood)
  const reasons = async (issuing: Issuing): Promise<string> =>
    (await issuing.until('blog', (status) => status.reasons.length > 0)).reasons.join()

  assert.match(await reasons(none), /^the account: .*external account.*\[acme\] eab_kid and eab_hmac_key$/)
  assert.match(await reasons(wrong), /^the account: .*external account/)
  assert.equal(strict.orders, 1)
})

test('a state folder that cannot be written stops all asking, and is told', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  mkdirSync(dirname(issuing.state), { recursive: true })
  writeFileSync(issuing.state, 'a file in its place')
  await issuing.want({ blog: ['blog.test'] })

  const status = await issuing.until('blog', hasFailed)
  rmSync(issuing.state)
  await issuing.forward(2 * MINUTE)
  await issuing.until('blog', isGood)

  assert.match(status.reasons[0] ?? '', /^the state of ACME cannot be read: E(EXIST|NOTDIR)/)
  assert.equal(pebble.orders - before, 1)
})

test('a certificate that cannot be saved is in use, and is saved as soon as that works, without another order', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await issuing.want({ blog: ['blog.test'] })
  const [server = ''] = readdirSync(join(issuing.state, 'acme'))
  const file = join(issuing.state, 'acme', server, 'sites/blog.pem')
  mkdirSync(file)

  const unsaved = await issuing.until('blog', ({ reasons }) => reasons.length > 0)
  rmdirSync(file)
  await issuing.forward(2 * MINUTE)
  const saved = await issuing.until('blog', ({ failures }) => failures === 0)
  const again = await restart(t, issuing)
  await again.want({ blog: ['blog.test'] })

  assert.match(unsaved.reasons[0] ?? '', /^the certificate is in use, but it cannot be saved, .*EISDIR/)
  assert.deepEqual([unsaved.state, saved.state, saved.reasons], ['valid', 'valid', []])
  assert.ok(readFileSync(file, 'utf8').endsWith(serialOf('blog')))
  assert.equal(again.status('blog').state, 'valid')
  assert.equal(pebble.orders - before, 1)
})

test('a certificate is not lost where it cannot be written down that the server is back', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  await pebble.stop()
  await issuing.want({ blog: ['blog.test'] })
  await issuing.until('blog', ({ reasons }) => reasons.length > 0)
  const { dir } = await openFolder(issuing)
  rmSync(join(dir, 'server.json'))
  mkdirSync(join(dir, 'server.json'))
  await pebble.start()

  await issuing.forward(2 * MINUTE)
  await issuing.until('blog', isGood)

  assert.ok(readFileSync(join(dir, 'sites/blog.pem'), 'utf8').endsWith(serialOf('blog')))
  assert.equal(pebble.orders - before, 1)
})

test('50 sites get their certificates within a minute, and one gets 100 names in one', async (t) => {
  const issuing = start(t)
  const before = pebble.orders
  const sites = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`s${index}`, [`s${index}.test`]]))
  const many = Array.from({ length: 100 }, (_, index) => `name${index}.test`)
  const startedAt = performance.now()
  await issuing.want(sites)

  for (const site of Object.keys(sites)) await issuing.until(site, isGood)
  const seconds = (performance.now() - startedAt) / 1000
  await issuing.want({ ...sites, many })
  const status = await issuing.until('many', isGood)

  t.diagnostic(`50 certificates in ${seconds.toFixed(1)} s`)
  assert.ok(seconds < 60, `${seconds} s`)
  assert.deepEqual([...status.covered].sort(), many.sort())
  assert.equal(pebble.orders - before, 51)
})

test('while the server is gone nothing is lost, and all get their certificates when it is back', async (t) => {
  const issuing = start(t)
  const old = makePair(['old.test'], ['-days', '1'])
  const folder = await openFolder(issuing)
  await folder.saveCertificate('old', old)
  const whole = readFileSync(join(folder.dir, 'sites/old.pem'), 'utf8')
  writeFileSync(join(folder.dir, 'sites/broken.pem'), whole.slice(0, 300))
  await issuing.want({ first: ['first.test'] })
  await issuing.until('first', isGood)
  const first = serialOf('first')
  await pebble.stop()
  const names = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`site${index}`, [`site${index}.test`]]))
  await issuing.forward(61 * DAY)
  await issuing.want({ first: ['first.test'], old: ['old.test'], broken: ['broken.test'], ...names })

  const gone = await issuing.until('site0', ({ reasons }) => reasons.length > 0)
  const used = [place.certificates.get('old')?.cert.trim(), issuing.status('old').state, serialOf('first')]
  const broken = serialOf('broken')
  await pebble.start()
  await issuing.forward(5 * MINUTE)
  for (const site of ['first', 'old', 'broken', ...Object.keys(names)]) await issuing.until(site, isGood)
  await issuing.until('first', () => serialOf('first') !== first)

  assert.match(gone.reasons[0] ?? '', new RegExp(`^${pebble.directory}: .*ECONNREFUSED`))
  assert.equal(gone.failures, 0)
  assert.deepEqual(used, [old.cert.trim(), 'expired', first])
  assert.equal(broken, 'none')
  assert.equal(issuing.said('the certificate is expired; it stays in use until there is another').length, 1)
  assert.equal(issuing.said('the ACME server cannot be asked for certificates').length, 1)
  assert.equal(issuing.said('the ACME server can be asked again').length, 1)
  assert.equal(issuing.said('no certificate was issued').length, 0)
})
