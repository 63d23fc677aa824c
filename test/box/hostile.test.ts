/**
 * The corpus of hostile requests against a whole server with every kind of site, in clear text and over TLS: each answer is
 * exact, the server is as good as before after each, and nobody behind it was sent what was not asked of it.
 */
import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { Cuts, HostileCase, Player } from '../helpers/hostile.ts'
import { hostileCases, isClosed, play } from '../helpers/hostile.ts'
import { hostileFrames, playFrames } from '../helpers/hostile-frames.ts'
import type { HostileSite } from '../helpers/hostile-sites.ts'
import { answersGood, assertNothingSmuggled, SITES, startHostileBox } from '../helpers/hostile-sites.ts'

const AT_ONCE = 16
/** Of all that fail, how many are told of. */
const SHOWN = 10
/** Shorter ones are cut at every byte as well. */
const MAX_CUT_BYTES = 400

/** A case on its way to a site. */
interface Play {
  site: HostileSite
  /** Whether its connection is of no use after it; else that has had its good request already. */
  closes: boolean
  /** @returns how many answers the site itself gave */
  run(): Promise<number>
}

/** How often and where a case is cut on its way. */
type Cutting = (hostile: HostileCase) => Cuts[]

const whole: Cutting = () => [[]]
const halved: Cutting = ({ bytes }) => [[Math.floor(bytes.length / 2)]]
const everywhere: Cutting = ({ bytes }) => {
  const every = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, at) => at + 1)
  if (bytes.length <= MAX_CUT_BYTES) return [every]
  return [[1, 20, 100, 8_000, 8_192, 32_760, 32_768, 32_800].filter((at) => at < bytes.length)]
}

test('hostile requests get exactly what they should from every kind of site, and nobody else hears of them', async (t) => {
  const hostile = await startHostileBox(t)
  const { box, upstream } = hostile
  const cases = hostileCases()
  assert.ok(cases.length >= 350, `${cases.length} cases`)
  /** Answers that each site has given itself. */
  const given = new Map(SITES.map(({ letter }) => [letter, 0]))

  /** Plays what is left, some at a time, and looks after each whether the site is well. */
  const playAll = async (left: Play[]): Promise<void> => {
    const failed: unknown[] = []
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const { site, closes, run } = next
        try {
          const answers = await run()
          if (closes) await answersGood(hostile, site)
          given.set(site.letter, (given.get(site.letter) ?? 0) + answers + Number(closes))
        } catch (error) {
          failed.push(error)
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    assert.equal(failed.length, 0, `${failed.length} failed:\n${failed.slice(0, SHOWN).join('\n\n')}`)
  }
  // Sites take turns, so that their answers are under way at one time.
  const plays = (sites: readonly HostileSite[], open: Player['open'], cutting: Cutting): Play[] =>
    cases.flatMap((one) =>
      cutting(one).flatMap((cuts) =>
        sites.map((site) => ({ site, closes: isClosed(one, site), run: () => play(one, { site, open }, cuts) })),
      ),
    )
  // Each in one part to two of the sites, and in two parts to the others.
  const framed = hostileFrames().flatMap((one, index) =>
    SITES.map((site, at): Play => {
      const cut = (bytes: number): number => ((index + at) % 2) * Math.floor(bytes / 2)
      const closes = one.connection !== 'open'
      return { site, closes, run: () => playFrames(one, site, hostile.openSecure(site, 'h2'), cut) }
    }),
  )
  assert.ok(framed.length >= 800, `${framed.length} of HTTP/2`)

  const open = (): Duplex => hostile.open()
  const openSecure = (site: HostileSite): Duplex => hostile.openSecure(site, 'http/1.1')
  // Whoever answers without a pool gets bodies as an upstream does.
  const [first, , third] = SITES
  assert.ok(first && third)

  await t.test('in clear text, whole', () => playAll(plays(SITES, open, whole)))
  await t.test('in clear text, a byte at a time', () => playAll(plays([first, third], open, everywhere)))
  await t.test('over TLS, in two parts', () => playAll(plays(SITES, openSecure, halved)))
  await t.test('over HTTP/2', () => playAll(framed))
  await t.test('no upstream and no program was sent anything else', () => {
    assert.deepEqual(upstream.faults, [])
    for (const [site, seen] of [
      [SITES[2], upstream.seen],
      [SITES[3], hostile.programSaw()],
    ] as const) {
      assert.ok(site)
      assertNothingSmuggled(seen, site)
      assert.equal(seen.length, given.get(site.letter), `requests to ${site.host}`)
    }
  })
  assert.equal((await box.site('b'))?.requests, 0)
})
