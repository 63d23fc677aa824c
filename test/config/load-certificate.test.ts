import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { makeOldPair, makePair } from '../helpers/certificates.ts'
import type { Entry } from './config-folder.ts'
import { configFolder } from './config-folder.ts'

const PAIR = makePair(['a.test', '*.b.test'])
const OTHER = makePair(['a.test'])

/** Loads a site with these lines, and files beside it. */
function load(
  t: TestContext,
  lines: string,
  files: Record<string, Entry> = {},
  domains = 'a.test',
  nowMs = Date.now(),
) {
  const text = `[site]\ndomains = ${domains}\nroot = ../public\n${lines}\n`
  const folder = configFolder(t, {
    'sites-enabled/a.ini': text,
    'tls/cert.pem': PAIR.cert,
    'tls/key.pem': PAIR.key,
    ...files,
  })
  const site = loadSite(folder.path('sites-enabled/a.ini'), folder.server(), {}, nowMs)
  const shown = (problems: typeof site.problems) =>
    problems.map((problem) => renderProblem(problem, folder.dir).replaceAll(folder.dir, 'DIR'))
  return { site, problems: shown(site.problems), warnings: shown(site.warnings), folder }
}

function weakFiles(): Record<string, Entry> {
  const pair = makePair(['a.test'], ['-newkey', 'rsa:1024'])
  return { 'tls/cert.pem': pair.cert, 'tls/key.pem': pair.key }
}

const BOTH = 'certificate = ../tls/cert.pem\nkey = ../tls/key.pem'

test('certificate and key are read from paths relative to the file, and watched', (t) => {
  const { site, problems, warnings, folder } = load(t, BOTH)

  assert.deepEqual([problems, warnings], [[], []])
  assert.deepEqual(site.config?.certificate, PAIR)
  assert.deepEqual(site.dependencies, [folder.path('tls/cert.pem'), folder.path('tls/key.pem')])
})

test('a site without them has none', (t) => {
  const { site } = load(t, '')

  assert.equal(site.config?.certificate, undefined)
  assert.deepEqual(site.config?.tls, { httpsOnly: false, hstsSeconds: 15_552_000 })
})

test('https_only and hsts', (t) => {
  assert.deepEqual(load(t, 'https_only = yes\nhsts = 365d').site.config?.tls, {
    httpsOnly: true,
    hstsSeconds: 31_536_000,
  })
  assert.deepEqual(load(t, 'hsts = 1500ms\nhttps_only = no').site.config?.tls, { httpsOnly: false, hstsSeconds: 1 })
  assert.match(load(t, 'hsts = forever').problems[0] ?? '', /a\.ini:4: \[site\] hsts: "forever" is not a duration/)
  assert.match(load(t, 'hsts = 4000d').problems[0] ?? '', /"4000d" is too long: at most 3650d/)
  assert.match(load(t, 'https_only = perhaps').problems[0] ?? '', /neither yes nor no/)
})

for (const [name, lines, files, problem] of [
  ['no key', 'certificate = ../tls/cert.pem', {}, /\[site\] key: is missing: name the file with the private key/],
  ['no certificate', 'key = ../tls/key.pem', {}, /\[site\] certificate: is missing: key has no use without/],
  [
    'no file',
    `${BOTH}`,
    { 'tls/cert.pem': { link: 'none.pem' } },
    /a\.ini:4: .*cert\.pem is a link to none\.pem, which/,
  ],
  [
    'a folder',
    `${BOTH}`,
    { 'tls/key.pem': 'folder' },
    /a\.ini:5: \[site\] key: DIR\/tls\/key\.pem is a folder, not a file/,
  ],
  [
    'no PEM',
    BOTH,
    { 'tls/cert.pem': 'x' },
    /a\.ini:4: \[site\] certificate: "\.\.\/tls\/cert\.pem" has no certificate in it/,
  ],
  ['damaged', BOTH, { 'tls/cert.pem': PAIR.cert.replace(/\n.{20}/, '\nAAAA') }, /certificate 1 in it is damaged/],
  [
    'damaged chain',
    BOTH,
    { 'tls/cert.pem': `${PAIR.cert}${PAIR.cert.replace(/\n.{20}/, '\nAAAA')}` },
    /certificate 2 in it/,
  ],
  [
    'wrong order',
    BOTH,
    { 'tls/cert.pem': `${OTHER.cert}${PAIR.cert}` },
    /a\.ini:4: \[site\] certificate: "\.\.\/tls\/cert\.pem" is in the wrong order: put certificate 2 first/,
  ],
  ['no key in it', BOTH, { 'tls/key.pem': PAIR.cert }, /a\.ini:5: \[site\] key: .* has no private key in it/],
  ['encrypted', BOTH, { 'tls/key.pem': '-----BEGIN ENCRYPTED PRIVATE KEY-----' }, /is encrypted: write it without/],
  ['key too short', BOTH, weakFiles(), /certificate: .* cannot be used \(ee key too small\): make a new one/],
  ['other key', BOTH, { 'tls/key.pem': OTHER.key }, /key: "\.\.\/tls\/key\.pem" is not the key of the certificate/],
] as const) {
  test(`a problem: ${name}`, (t) => {
    const { site, problems } = load(t, lines, files)

    assert.equal(site.config, undefined)
    assert.equal(problems.length, 1)
    assert.match(problems[0] ?? '', problem)
    assert.doesNotMatch(problems[0] ?? '', /MI[A-Z]{2}/)
  })
}

test('a warning: a certificate that ran out, or that does not name a host of the site', (t) => {
  const old = makeOldPair(['a.test'])
  const expired = load(t, BOTH, { 'tls/cert.pem': old.cert, 'tls/key.pem': old.key })
  const unnamed = load(t, BOTH, {}, 'a.test, x.b.test, *.c.test, www.a.test')

  assert.ok(expired.site.config !== undefined && unnamed.site.config !== undefined)
  assert.equal(expired.warnings.length, 1)
  assert.match(
    expired.warnings[0] ?? '',
    /^sites-enabled\/a\.ini:4: \[site\] certificate: "\.\.\/tls\/cert\.pem" ran out on \d{4}-\d\d-\d\d: renew it$/,
  )
  assert.deepEqual(unnamed.warnings, [
    'sites-enabled/a.ini:4: [site] certificate: "../tls/cert.pem" does not name www.a.test: browsers will refuse it there',
  ])
})

test('a warning: a certificate that runs out soon, as it is time to look why it was not renewed', (t) => {
  const DAY_MS = 86_400_000
  const made = Date.now()
  const told = (days: number, inDays: number) => {
    const { cert, key } = makePair(['a.test'], ['-days', String(days)])
    const files = { 'tls/cert.pem': cert, 'tls/key.pem': key }
    const { warnings, site } = load(t, BOTH, files, 'a.test', made + inDays * DAY_MS)
    const [said] = warnings.map(
      (warning) => /"[^"]*" (\w+ out) on \d{4}-\d\d-\d\d: renew it$/.exec(warning)?.[1] ?? warning,
    )
    return [said, Math.round((site.goodUntil - made) / DAY_MS)]
  }

  assert.deepEqual(told(90, 0), [undefined, 76])
  assert.deepEqual(told(90, 75), [undefined, 76])
  assert.deepEqual(told(90, 77), ['runs out', 90])
  assert.deepEqual(told(90, 91), ['ran out', Number.POSITIVE_INFINITY])
  assert.deepEqual(told(10, 7), [undefined, 8])
  assert.deepEqual(told(10, 9), ['runs out', 10])
})

test('sites that have one certificate share it', (t) => {
  const { site, folder } = load(t, BOTH)
  folder.put({ 'sites-enabled/b.ini': `[site]\ndomains = x.b.test\nroot = ../public\n${BOTH}\n` })
  const other = loadSite(folder.path('sites-enabled/b.ini'), folder.server())

  assert.ok(site.config?.certificate !== undefined)
  assert.equal(other.config?.certificate, site.config.certificate)
})
