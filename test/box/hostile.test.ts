/**
 * The corpus of hostile requests against a whole server with every kind of site, in clear text: each answer is exact, the server
 * is as good as before after each, and nobody behind it was sent what was not asked of it.
 */
import { test } from 'node:test'
import type { Cutting } from '../helpers/hostile-plays.ts'
import { Plays, playsOf } from '../helpers/hostile-plays.ts'
import { SITES, startHostileBox } from '../helpers/hostile-sites.ts'

/** Shorter ones are cut at every byte as well. */
const MAX_CUT_BYTES = 400

const whole: Cutting = () => [[]]
const everywhere: Cutting = ({ bytes }) => {
  const every = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, at) => at + 1)
  if (bytes.length <= MAX_CUT_BYTES) return [every]
  return [[1, 20, 100, 8_000, 8_192, 32_760, 32_768, 32_800].filter((at) => at < bytes.length)]
}

test('hostile requests get exactly what they should from every kind of site, and nobody else hears of them', async (t) => {
  const hostile = await startHostileBox(t)
  const plays = new Plays(hostile)

  await t.test('whole', () => plays.all(playsOf(SITES, () => hostile.open(), whole)))
  // How the bytes come is seen by the server alone, before any site.
  await t.test('a byte at a time', () => plays.all(playsOf(SITES.slice(0, 1), () => hostile.open(), everywhere)))
  await t.test('nobody was sent anything else', () => plays.assertNothingElse())
})
