/**
 * The corpus of hostile requests over TLS, and that of HTTP/2: as in clear text, each answer is exact, the server is as good as
 * before after each, and nobody behind it was sent what was not asked of it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostileFrames, playFrames } from '../helpers/hostile-frames.ts'
import type { Cutting, Play } from '../helpers/hostile-plays.ts'
import { Plays, playsOf } from '../helpers/hostile-plays.ts'
import type { HostileBox } from '../helpers/hostile-sites.ts'
import { SITES, startHostileBox } from '../helpers/hostile-sites.ts'

const halved: Cutting = ({ bytes }) => [[Math.floor(bytes.length / 2)]]

/** Each in one part to two of the sites, and in two parts to the others. */
function framePlays(hostile: HostileBox): Play[] {
  const cases = hostileFrames()
  assert.ok(cases.length >= 220, `${cases.length} cases`)
  return cases.flatMap((one, index) =>
    SITES.map((site, at): Play => {
      const cut = (bytes: number): number => ((index + at) % 2) * Math.floor(bytes / 2)
      const run = (): Promise<number> => playFrames(one, site, hostile.openSecure(site, 'h2'), cut)
      return { site, closes: one.connection !== 'open', run }
    }),
  )
}

test('hostile requests over TLS, and frames of HTTP/2, get exactly what they should', async (t) => {
  const hostile = await startHostileBox(t)
  const plays = new Plays(hostile)

  await t.test('HTTP/1.1, in two parts', () => {
    return plays.all(playsOf(SITES, (site) => hostile.openSecure(site, 'http/1.1'), halved))
  })
  await t.test('HTTP/2', () => plays.all(framePlays(hostile)))
  await t.test('nobody was sent anything else', () => plays.assertNothingElse())
})
