/**
 * Plays hostile cases to the sites of a box, some at a time, and says at the end whether anybody was sent what was not asked.
 *
 * Invariant: after each case its site has answered a good request, on the same connection or on one of its own.
 */
import assert from 'node:assert/strict'
import type { Cuts, HostileCase, Player } from './hostile.ts'
import { hostileCases, isClosed, play } from './hostile.ts'
import type { HostileBox, HostileSite } from './hostile-sites.ts'
import { answersGood, assertNothingSmuggled, SITES } from './hostile-sites.ts'

const AT_ONCE = 16
/** Of all that fail, how many are told of. */
const SHOWN = 10

/** A case on its way to a site. */
export interface Play {
  site: HostileSite
  /** Whether its connection is of no use after it; else that has had its good request already. */
  closes: boolean
  /** @returns how many answers the site itself gave */
  run(): Promise<number>
}

/** How often and where a case is cut on its way. */
export type Cutting = (hostile: HostileCase) => Cuts[]

/** All cases of HTTP/1. Sites take turns, so that their answers are under way at one time. */
export function playsOf(sites: readonly HostileSite[], open: Player['open'], cutting: Cutting): Play[] {
  const cases = hostileCases()
  assert.ok(cases.length >= 350, `${cases.length} cases`)
  return cases.flatMap((one) =>
    cutting(one).flatMap((cuts) =>
      sites.map((site) => ({ site, closes: isClosed(one, site), run: () => play(one, { site, open }, cuts) })),
    ),
  )
}

export class Plays {
  readonly #hostile: HostileBox
  /** Answers that each site has given itself, by its letter. */
  readonly #given = new Map<string, number>()

  constructor(hostile: HostileBox) {
    this.#hostile = hostile
  }

  /** Plays them all, and fails when that is done where any did. */
  async all(left: Play[]): Promise<void> {
    const failed: unknown[] = []
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        await this.#one(next).catch((error: unknown) => failed.push(error))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    assert.equal(failed.length, 0, `${failed.length} failed:\n${failed.slice(0, SHOWN).join('\n\n')}`)
  }

  async #one({ site, closes, run }: Play): Promise<void> {
    const answers = await run()
    if (closes) await answersGood(this.#hostile, site)
    this.#given.set(site.letter, (this.#given.get(site.letter) ?? 0) + answers + Number(closes))
  }

  /** Whether upstream and program were sent what was answered and nothing else, and the neighbour nothing. */
  async assertNothingElse(): Promise<void> {
    const { upstream, box } = this.#hostile
    assert.deepEqual(upstream.faults, [])
    for (const [site, seen] of [
      [SITES[2], upstream.seen],
      [SITES[3], this.#hostile.programSaw()],
    ] as const) {
      assert.ok(site)
      assertNothingSmuggled(seen, site)
      assert.equal(seen.length, this.#given.get(site.letter), `requests to ${site.host}`)
    }
    assert.equal((await box.site('b'))?.requests, 0)
  }
}
