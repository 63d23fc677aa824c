import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Offence } from '../../src/pool/quarantine.ts'
import { Quarantine } from '../../src/pool/quarantine.ts'

const TERMS = { offences: 3, timeMs: 300_000 }
const SHORT: Offence = { kind: 'blocked', text: 'kept its thread for 200 ms', severe: false }
const SEVERE: Offence = { kind: 'crashed', text: 'ended its process', severe: true }
const DAY_MS = 86_400_000

test('short blocks are noted until there are enough of them within a minute', () => {
  const quarantine = new Quarantine<string>()

  const verdicts = [0, 1000, 59_999].map((at) => quarantine.offence('a', SHORT, TERMS, at))

  assert.deepEqual(verdicts, ['noted', 'noted', 'convicted'])
  assert.equal(quarantine.isConvicted('a'), true)
  assert.equal(quarantine.isConvicted('b'), false)
})

test('short blocks of more than a minute ago do not count', () => {
  const quarantine = new Quarantine<string>()

  const verdicts = [0, 30_000, 60_000, 90_000, 120_000].map((at) => quarantine.offence('a', SHORT, TERMS, at))

  assert.deepEqual(verdicts, Array(5).fill('noted'))
})

test('one site’s offences do not count against another', () => {
  const quarantine = new Quarantine<string>()

  const verdicts = ['a', 'a', 'b', 'b'].map((site) => quarantine.offence(site, SHORT, TERMS, 0))

  assert.deepEqual(verdicts, Array(4).fill('noted'))
})

test('one severe offence convicts, and a convicted site is due after its time', () => {
  const quarantine = new Quarantine<string>()

  const verdict = quarantine.offence('a', SEVERE, TERMS, 1000)

  assert.equal(verdict, 'convicted')
  assert.equal(quarantine.nextDueAt(), 301_000)
  assert.deepEqual(quarantine.due(300_999), [])
  assert.deepEqual(quarantine.due(301_000), ['a'])
  assert.equal(quarantine.isConvicted('a'), true, 'until it is released')
})

test('a convicted site stays for as long as new terms say, from its last offence on', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 0)
  quarantine.offence('a', SHORT, TERMS, 50_000)
  quarantine.offence('free', SHORT, TERMS, 0)

  const dueAt = [60_000, 600_000, 0].map((timeMs) => {
    for (const site of ['a', 'free', 'unknown']) quarantine.retime(site, { ...TERMS, timeMs }, 70_000)
    return quarantine.nextDueAt()
  })

  assert.deepEqual(dueAt, [110_000, 650_000, 70_000])
  assert.equal(quarantine.isConvicted('free'), false)
})

test('new terms leave a suspect apart until it is known which it was, but where it is never to be kept apart', () => {
  const quarantine = new Quarantine<string>()
  quarantine.suspect('a', 'or a neighbour', 60_000, 0)

  const dueAt = [1_000, 0].map((timeMs) => {
    quarantine.retime('a', { ...TERMS, timeMs }, 10_000)
    return quarantine.nextDueAt()
  })

  assert.deepEqual(dueAt, [60_000, 10_000])
})

test('an offence of a convicted site starts its time again and is no new conviction', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 0)

  const verdicts = [SHORT, SEVERE].map((offence) => quarantine.offence('a', offence, TERMS, 100_000))

  assert.deepEqual(verdicts, ['again', 'again'])
  assert.equal(quarantine.nextDueAt(), 400_000)
  assert.equal(quarantine.recordOf('a')?.convictions, 1)
  assert.equal(quarantine.recordOf('a')?.convictedAt, 0)
})

/** Convicts, waits until it is let out, and does so again at once. @returns the sentences in units of the first */
function sentences(quarantine: Quarantine<string>, count: number, apartMs = 0): number[] {
  let now = 0
  return Array.from({ length: count }, () => {
    quarantine.offence('a', SEVERE, TERMS, now)
    const until = quarantine.nextDueAt() ?? 0
    const units = (until - now) / TERMS.timeMs
    quarantine.release('a')
    now = until + apartMs
    return units
  })
}

test('each further conviction doubles the time, up to 16 times', () => {
  assert.deepEqual(sentences(new Quarantine(), 7), [1, 2, 4, 8, 16, 16, 16])
})

test('a day without a conviction makes a site as good as new', () => {
  const quarantine = new Quarantine<string>()

  assert.deepEqual(sentences(quarantine, 3, DAY_MS), [1, 1, 1])
  assert.deepEqual(sentences(new Quarantine(), 3, DAY_MS - 1), [1, 2, 4])
})

test('small offences now and then do not keep old convictions alive', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 0)
  quarantine.release('a')

  for (let at = TERMS.timeMs; at < 2 * DAY_MS; at += DAY_MS / 4) quarantine.offence('a', SHORT, TERMS, at)
  quarantine.offence('a', SEVERE, TERMS, 2 * DAY_MS)

  assert.equal(quarantine.nextDueAt(), 2 * DAY_MS + TERMS.timeMs)
})

test('a released site starts with a clean slate, but is remembered', () => {
  const quarantine = new Quarantine<string>()
  for (let count = 0; count < 3; count++) quarantine.offence('a', SHORT, TERMS, 0)

  quarantine.release('a')

  assert.equal(quarantine.isConvicted('a'), false)
  assert.deepEqual(quarantine.due(DAY_MS), [])
  assert.equal(quarantine.nextDueAt(), undefined)
  assert.equal(quarantine.offence('a', SHORT, TERMS, 1), 'noted', 'old short blocks are forgiven')
  assert.equal(quarantine.offence('a', SEVERE, TERMS, 2), 'convicted')
  assert.equal(quarantine.nextDueAt(), 2 + 2 * TERMS.timeMs)
})

test('a site that is gone is forgotten, and to release or forget a stranger does nothing', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 0)

  quarantine.forget('a')
  quarantine.forget('stranger')
  quarantine.release('stranger')

  assert.equal(quarantine.recordOf('a'), undefined)
  assert.equal(quarantine.recordOf('stranger'), undefined)
  quarantine.offence('a', SEVERE, TERMS, 0)
  assert.equal(quarantine.nextDueAt(), TERMS.timeMs, 'a site of that name later is a new one')
})

test('with no time set nothing convicts', () => {
  const quarantine = new Quarantine<string>()

  const verdicts = Array.from({ length: 30 }, () => quarantine.offence('a', SEVERE, { offences: 1, timeMs: 0 }, 0))

  assert.deepEqual(verdicts, Array(30).fill('noted'))
  assert.equal(quarantine.isConvicted('a'), false)
})

test('a suspect is kept apart until the given time, which does not count as a conviction', () => {
  const quarantine = new Quarantine<string>()

  quarantine.suspect('a', 'may have ended its process', 60_000, 0)
  const isApart = quarantine.isConvicted('a')
  const dueAt = quarantine.nextDueAt()
  quarantine.release('a')
  quarantine.offence('a', SEVERE, TERMS, 60_000)

  assert.equal(isApart, true)
  assert.equal(dueAt, 60_000)
  assert.equal(quarantine.nextDueAt(), 60_000 + TERMS.timeMs, 'the first sentence is the shortest')
})

test('a suspicion is not one of the short blocks that convict', () => {
  const quarantine = new Quarantine<string>()
  quarantine.suspect('a', 'perhaps', 10, 0)
  quarantine.suspect('a', 'perhaps', 10, 0)
  assert.deepEqual(
    quarantine.recordOf('a')?.offences.map(({ kind }) => kind),
    ['suspected', 'suspected'],
  )
  const record = quarantine.recordOf('a')
  if (record !== undefined) record.convictedAt = undefined

  const verdicts = [20, 21, 22].map((at) => quarantine.offence('a', SHORT, TERMS, at))

  assert.deepEqual(verdicts, ['noted', 'noted', 'convicted'])
})

test('a suspect that then does harm stays for a full sentence, and never shorter than it had to', () => {
  const [short, long] = [new Quarantine<string>(), new Quarantine<string>()]
  short.suspect('a', 'perhaps', 60_000, 0)
  long.suspect('a', 'perhaps', 900_000, 0)

  const verdicts = [short, long].map((one) => one.offence('a', SEVERE, TERMS, 10_000))

  assert.deepEqual(verdicts, ['convicted', 'convicted'])
  assert.equal(short.nextDueAt(), 310_000)
  assert.equal(long.nextDueAt(), 900_000)
})

test('a suspect that has no time set is not let out earlier by what it does', () => {
  const quarantine = new Quarantine<string>()
  quarantine.suspect('a', 'perhaps', 60_000, 0)

  quarantine.offence('a', SEVERE, { offences: 3, timeMs: 0 }, 10_000)

  assert.deepEqual(quarantine.due(59_999), [])
})

test('a suspicion against a convicted site never shortens its time', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 0)

  quarantine.suspect('a', 'perhaps', 60_000, 10)

  assert.equal(quarantine.nextDueAt(), TERMS.timeMs)
  assert.equal(quarantine.recordOf('a')?.convictedAt, 0)
})

test('the next due is the earliest of several, and all that are due are told', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 1000)
  quarantine.offence('b', SEVERE, TERMS, 500)
  quarantine.offence('c', SHORT, TERMS, 0)

  assert.equal(quarantine.nextDueAt(), 300_500)
  assert.deepEqual(quarantine.due(300_500), ['b'])
  assert.deepEqual(quarantine.due(301_000), ['a', 'b'])
})

test('what is known against a site does not grow without end', () => {
  const quarantine = new Quarantine<string>()

  for (let at = 0; at < 1000; at++) quarantine.offence('a', SHORT, TERMS, at)
  for (let at = 0; at < 1000; at++) quarantine.suspect('b', 'perhaps', at, at)

  assert.equal(quarantine.recordOf('a')?.offences.length, 20)
  assert.equal(quarantine.recordOf('b')?.offences.length, 20)
  assert.equal(quarantine.recordOf('a')?.offences.at(-1)?.at, 999, 'the latest are kept')
})

test('a suspect that does it again where it is alone is convicted like any other, each time for longer', () => {
  const quarantine = new Quarantine<string>()
  quarantine.offence('a', SEVERE, TERMS, 0)
  quarantine.release('a')
  quarantine.suspect('a', 'or a neighbour', 460_000, 400_000)

  assert.equal(quarantine.offence('a', SHORT, TERMS, 410_000), 'again')
  assert.equal(quarantine.nextDueAt(), 460_000, 'one short block is none of its own')
  assert.equal(quarantine.offence('a', SEVERE, TERMS, 420_000), 'convicted')
  assert.equal(quarantine.nextDueAt(), 420_000 + 2 * TERMS.timeMs)
  assert.equal(quarantine.offence('a', SEVERE, TERMS, 430_000), 'again')
  assert.equal(quarantine.recordOf('a')?.convictions, 2)
})
