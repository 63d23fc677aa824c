/**
 * The corpus of hostile requests against whole servers: each case whole and cut into parts, and after each the server is as
 * good as before.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { connect as tlsConnect } from 'node:tls'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { makeBox, startBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'
import type { Cuts, HostileCase, Player } from '../helpers/hostile.ts'
import { hostileCases, play } from '../helpers/hostile.ts'

const AT_ONCE = 8
/** Shorter ones are cut at every byte as well. */
const MAX_CUT_BYTES = 400

/** Says who it is, after it has read the whole request. Counts visits, for those that should not have come. */
const MODULE = (name: string): string => `let visits = 0
  export default async (request) => {
    if (new URL(request.url, 'http://x').pathname === '/visits') return new Response(String(visits))
    visits++
    await request.arrayBuffer()
    return new Response('site ${name}')
  }`

function staticSite(name: string, files: Record<string, string>): SiteFixture {
  return { files, ini: `[site]\ndomains = ${name}.test\nroot = ../sites/${name}\n` }
}

function cutsOf({ bytes }: HostileCase, isThorough: boolean): Cuts[] {
  if (!isThorough) return [[], [Math.floor(bytes.length / 2)]]
  const every = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, at) => at + 1)
  if (bytes.length <= MAX_CUT_BYTES) return [[], every]
  return [[], [1, 20, 100, 8_000, 8_192, 32_760, 32_768, 32_800].filter((at) => at < bytes.length)]
}

async function playAll(
  player: Player,
  isThorough: boolean,
  check: (hostile: HostileCase) => Promise<void>,
): Promise<void> {
  const cases = hostileCases()
  assert.ok(cases.length >= 80, `${cases.length} cases`)
  const left = cases.flatMap((hostile) => cutsOf(hostile, isThorough).map((cuts) => ({ hostile, cuts })))
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      await play(next.hostile, player, next.cuts)
      await check(next.hostile)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}

/** @param allow what the site allows; '' where it answers everything */
function playerFor(box: Box, allow: string, answersEarly: boolean): Player {
  return {
    answersEarly,
    open: () => connect({ port: box.port, host: '127.0.0.1', noDelay: true }),
    isOfSite: ({ status, head, body }) =>
      status === '200' ? body.includes('site a') : allow !== '' && head.includes(`\r\nallow: ${allow}\r\n`),
  }
}

test('hostile requests to a module get exactly what they should, and its neighbour hears of none', async (t) => {
  const box = await startBox(t, {
    a: { files: { 'app.mjs': MODULE('a') } },
    b: { files: { 'app.mjs': MODULE('b') } },
  })
  assert.equal((await box.ask('b', '/visits')).text, '0')

  await playAll(playerFor(box, '', false), true, async () => {
    assert.equal((await box.ask('a')).text, 'site a')
  })

  assert.equal((await box.ask('b', '/visits')).text, '0')
  assert.equal((await box.site('b'))?.requests, 2)
})

test('hostile requests to a static site get exactly what they should, and its neighbour hears of none', async (t) => {
  const box = await startBox(t, {
    a: staticSite('a', { 'index.html': 'site a', good: 'site a' }),
    b: staticSite('b', { 'index.html': 'site b', stolen: 'site b' }),
  })

  await playAll(playerFor(box, 'GET, HEAD', true), false, async () => {
    assert.equal((await box.ask('a')).text, 'site a')
  })

  assert.equal((await box.site('b'))?.requests, 0)
})

test('hostile requests over TLS get what they get in clear text', async (t) => {
  const pair = makePair(['a.test', 'b.test'])
  const certified = (name: string): SiteFixture => {
    const { files = {}, ini = '' } = staticSite(name, { 'index.html': `site ${name}`, good: `site ${name}` })
    return { files, ini: `${ini}certificate = ../tls/pair.pem\nkey = ../tls/pair.key\n` }
  }
  const box = makeBox(t, { a: certified('a'), b: certified('b') }, { server: 'listen_tls = 127.0.0.1:0' })
  box.write('tls/pair.pem', pair.cert)
  box.write('tls/pair.key', pair.key)
  await box.start()
  const { listen } = await box.status()
  const port = Number(listen.map((address) => new URL(address)).find(({ protocol }) => protocol === 'https:')?.port)
  const open = (): TLSSocket =>
    tlsConnect({ port, host: '127.0.0.1', servername: 'a.test', ca: pair.cert, ALPNProtocols: ['http/1.1'] })

  await playAll({ ...playerFor(box, 'GET, HEAD', true), open }, false, async () => {
    assert.equal((await box.ask('a')).text, 'site a')
  })

  assert.equal((await box.site('b'))?.requests, 0)
})
