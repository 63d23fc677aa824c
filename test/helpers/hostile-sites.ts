/**
 * A box with one site of each kind that answers, in clear text and over TLS, for requests that mean harm: each says who it is,
 * those behind which others answer keep what they are sent, and a neighbour counts what it should never have been sent.
 *
 * Limit: needs Python. Invariant: hosts and names have as many letters as those in the files of cases.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { connect as tlsConnect } from 'node:tls'
import type { Box, SiteFixture } from './box.ts'
import { makeBox } from './box.ts'
import { makePair } from './certificates.ts'
import type { Answer } from './hostile.ts'
import type { SeenRequest, StrictUpstream } from './strict-upstream.ts'
import { strictUpstream } from './strict-upstream.ts'

const PROGRAM = join(import.meta.dirname, '../fixtures/hostile-program.py')

export interface HostileSite {
  kind: 'module' | 'static' | 'proxy' | 'command'
  /** Also its name; what it answers is `site LETTER`. */
  letter: string
  host: string
  /** Whether it answers a POST before its body has come, so that what is wrong in the body may be seen after that. */
  answersEarly: boolean
  /** Whether an answer is one of the site. */
  isOwn(answer: Answer): boolean
}

/** All sites that are played to. */
export const SITES: readonly HostileSite[] = [
  site('module', 'm'),
  { ...site('static', 's'), answersEarly: true, isOwn: isOfFiles },
  site('proxy', 'p'),
  site('command', 'k'),
]

/** Of all sites that there are, the one that nobody asks included. */
export const LETTERS = 'mspkb'

function site(kind: HostileSite['kind'], letter: string): HostileSite {
  const isOwn = ({ status, body }: Answer): boolean => status === '200' && isText(body, letter)
  return { kind, letter, host: `${letter}.test`, answersEarly: false, isOwn }
}

/** Files have no other methods. */
function isOfFiles({ status, head, body }: Answer): boolean {
  if (status === '405') return head.includes('\r\nallow: GET, HEAD\r\n')
  return status === '200' && isText(body, 's')
}

/** With its length and end where it came in chunks. */
function isText(body: string, letter: string): boolean {
  return body === `site ${letter}` || body === `6\r\nsite ${letter}\r\n0\r\n\r\n`
}

/** Says who it is, after it has read the whole request. */
const module = (name: string): string => `export default async (request) => {
  await request.arrayBuffer()
  return new Response('site ${name}')
}`

export interface HostileBox {
  box: Box
  /** A connection in clear text. */
  open(): Duplex
  /** One over TLS, with what was agreed on. */
  openSecure(site: HostileSite, protocol: 'http/1.1' | 'h2'): TLSSocket
  upstream: StrictUpstream
  /** What the program read. */
  programSaw(): SeenRequest[]
}

/** Starts it; ended with the test. */
export async function startHostileBox(t: TestContext): Promise<HostileBox> {
  const pair = makePair(SITES.map(({ host }) => host))
  const upstream = await strictUpstream(t, 'site p')
  const ini = (letter: string, ...lines: string[]): string =>
    ['[site]', `domains = ${letter}.test`, 'certificate = ../tls/pair.pem', 'key = ../tls/pair.key', ...lines, ''].join(
      '\n',
    )
  const sites: Record<string, SiteFixture> = {
    m: { files: { 'app.mjs': module('m') }, ini: ini('m', 'root = ../sites/m', 'module = app.mjs', 'preload = yes') },
    s: { files: { 'index.html': 'site s', good: 'site s' }, ini: ini('s', 'root = ../sites/s') },
    p: { ini: ini('p', `upstream = http://127.0.0.1:${upstream.port}`) },
    k: {
      files: { 'program.py': readFileSync(PROGRAM, 'utf8') },
      ini: ini('k', 'root = ../sites/k', 'command = /usr/bin/python3 program.py $PORT', 'preload = yes'),
    },
    b: { files: { 'app.mjs': module('b') } },
  }
  const box = makeBox(t, sites, { server: 'listen_tls = 127.0.0.1:0' })
  box.write('tls/pair.pem', pair.cert)
  box.write('tls/pair.key', pair.key)
  await box.start()
  const { listen } = await box.status()
  const port = Number(new URL(listen.find((one) => one.startsWith('https:')) ?? '').port)
  return {
    box,
    upstream,
    open: () => connect({ port: box.port, host: '127.0.0.1', noDelay: true }),
    openSecure: (to, protocol) =>
      tlsConnect({ port, host: '127.0.0.1', servername: to.host, ca: pair.cert, ALPNProtocols: [protocol] }),
    programSaw: () => readSeen(join(box.dir, 'sites/k/seen.jsonl')),
  }
}

function readSeen(file: string): SeenRequest[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line) as SeenRequest)
}

/** Whether a site answers a good request on a connection of its own. */
export async function answersGood({ box }: HostileBox, { letter }: HostileSite): Promise<void> {
  const { status, text } = await box.ask(letter, '/good')
  assert.deepEqual([status, text], [200, `site ${letter}`])
}

/** Whether nothing of this is what no server may be sent, whoever asks for it. */
export function assertNothingSmuggled(seen: readonly SeenRequest[], { host }: HostileSite): void {
  for (const { method, target, headers, body } of seen) {
    const shown = JSON.stringify({ method, target, headers, body: body.slice(0, 200) })
    // Programs behind CGI and WSGI cannot tell the two apart.
    const dashed = headers.map(([name, value]): [string, string] => [name.replaceAll('_', '-'), value])
    const of = (wanted: string): string[] => dashed.filter(([name]) => name === wanted).map(([, value]) => value)
    assert.match(of('host').join(), new RegExp(`^${host}[.]?(:\\d*)?$`, 'i'), shown)
    assert.notEqual(target, '/stolen', shown)
    assert.deepEqual(of('x-forwarded-for'), ['127.0.0.1'], shown)
    assert.ok(of('content-length').length + of('transfer-encoding').length <= 1, shown)
    for (const name of ['x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'forwarded']) {
      assert.equal(of(name).length, 1, `${name}: ${shown}`)
    }
    for (const [name, value] of headers) {
      assert.match(name, /^[\w!#$%&'*+.^`|~-]+$/, shown)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      assert.doesNotMatch(value, /[\x00-\x08\x0a-\x1f\x7f]/, shown)
    }
  }
}
