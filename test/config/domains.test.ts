import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { normaliseHost, parseDomain } from '../../src/config/domains.ts'

const LONG_LABEL = 'a'.repeat(63)
/** 253 characters: three labels of 63 and one of 61, with dots between. */
const LONG_NAME = [LONG_LABEL, LONG_LABEL, LONG_LABEL, 'a'.repeat(61)].join('.')

const HOSTS: [what: string, text: string, host: string | undefined][] = [
  ['a plain name', 'example.com', 'example.com'],
  ['a single label', 'localhost', 'localhost'],
  ['capitals', 'WWW.Example.COM', 'www.example.com'],
  ['a port', 'example.com:443', 'example.com'],
  ['an empty port', 'example.com:', 'example.com'],
  ['the largest port', 'example.com:65535', 'example.com'],
  ['a port beyond 65535', 'example.com:65536', undefined],
  ['a port that is no number', 'example.com:8x', undefined],
  ['a port with a sign', 'example.com:+80', undefined],
  ['two ports', 'example.com:80:80', undefined],
  ['a port alone', ':80', undefined],
  ['a trailing dot', 'example.com.', 'example.com'],
  ['a trailing dot and a port', 'Example.com.:8080', 'example.com'],
  ['two trailing dots', 'example.com..', undefined],
  ['a leading dot', '.example.com', undefined],
  ['an empty label', 'a..b', undefined],
  ['a dot alone', '.', undefined],
  ['nothing', '', undefined],
  ['an underscore', 'my_site.example.com', 'my_site.example.com'],
  ['hyphens at the ends of a label', '-a-.example.com', '-a-.example.com'],
  ['an IPv4 address', '192.0.2.1:80', '192.0.2.1'],
  ['three numbers, which a URL parser makes an address of', '1.2.3', '1.2.3'],
  ['an IPv6 address', '[::1]', '[::1]'],
  ['an IPv6 address with a port', '[::1]:8080', '[::1]'],
  ['an IPv6 address with an empty port', '[::1]:', '[::1]'],
  ['an IPv6 address in another spelling', '[2001:DB8:0:0::0001]', '[2001:db8::1]'],
  ['an IPv4 address within an IPv6 one', '[::ffff:192.0.2.1]', '[::ffff:c000:201]'],
  ['an IPv6 address without brackets', '::1', undefined],
  ['an IPv6 address with a zone', '[fe80::1%eth0]', undefined],
  ['an IPv6 address that does not end', '[::1', undefined],
  ['something behind the bracket', '[::1]x', undefined],
  ['a bad port behind the bracket', '[::1]:x', undefined],
  ['brackets around a name', '[example.com]', undefined],
  ['a future address', '[v1.a]', undefined],
  ['letters beyond ASCII', 'Bücher.example', 'xn--bcher-kva.example'],
  ['letters beyond ASCII and a port', 'bücher.example:8080', 'xn--bcher-kva.example'],
  ['letters beyond ASCII and a bad port', 'bücher.example:x', undefined],
  ['an ideographic full stop', 'example。com', 'example.com'],
  ['wide digits that spell an address', '１.２.３.４', undefined],
  ['half a surrogate pair', '\ud800.example', undefined],
  ['its ASCII form', 'XN--BCHER-KVA.example', 'xn--bcher-kva.example'],
  ['a percent escape', 'exa%41mple.com', undefined],
  ['a percent escape in an IDN', 'bü%41cher.example', undefined],
  ['a slash in an IDN', 'bücher.example/x', undefined],
  ['a user name', 'user@example.com', undefined],
  ['a user name in an IDN', 'user@bücher.example', undefined],
  ['a blank', 'exam ple.com', undefined],
  ['a tab', 'exam\tple.com', undefined],
  ['a NUL', 'exam\0ple.com', undefined],
  ['a wildcard', '*.example.com', undefined],
  ['a slash', 'example.com/', undefined],
  ['a label of 63', `${LONG_LABEL}.com`, `${LONG_LABEL}.com`],
  ['a label of 64', `a${LONG_LABEL}.com`, undefined],
  ['a last label of 64', `com.a${LONG_LABEL}`, undefined],
  ['a name of 253', LONG_NAME, LONG_NAME],
  ['a name of 253 with dot and port', `${LONG_NAME}.:65535`, LONG_NAME],
  ['a name of 254', `${LONG_NAME}a`, undefined],
  ['a very long text', 'a.'.repeat(10_000), undefined],
]

for (const [what, text, host] of HOSTS) {
  test(`a host with ${what} is ${host === undefined ? 'refused' : 'normalised'}`, () => {
    assert.equal(normaliseHost(text), host)
  })
}

const plainLabel = fc.stringMatching(/^[a-z0-9_-]{1,20}$/)
const plainName = fc.array(plainLabel, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'))

test('what is normalised stays as it is when normalised again, is lower case and has no port', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom('a', 'Z', '.', ':', '1', '[', ']', '-', 'ü', '。', '%', '\u00ad'),
      maxLength: 12,
    }),
    fc.domain(),
    fc.ipV6().map((address) => `[${address}]:80`),
  )
  fc.assert(
    fc.property(text, (sample) => {
      const host = normaliseHost(sample)
      if (host === undefined) return
      assert.equal(normaliseHost(host), host)
      assert.match(host, /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])$/)
      assert.ok(host.length <= 253)
    }),
    { numRuns: 5_000 },
  )
})

test('case, port and trailing dot make no difference', () => {
  const port = fc.option(fc.integer({ min: 0, max: 65535 }), { nil: undefined })
  fc.assert(
    fc.property(plainName, fc.boolean(), fc.boolean(), port, (name, upper, dot, number) => {
      const written =
        (upper ? name.toUpperCase() : name) + (dot ? '.' : '') + (number === undefined ? '' : `:${number}`)

      assert.equal(normaliseHost(written), name)
    }),
  )
})

test('a plain name is handed back without a copy', () => {
  const host = ['www', 'example', 'com'].join('.')

  assert.ok(Object.is(normaliseHost(host), host))
})

test('a name gives one exact pattern', () => {
  assert.deepEqual(parseDomain(' WWW.Example.com. '), {
    patterns: [{ kind: 'exact', host: 'www.example.com', source: 'WWW.Example.com.' }],
  })
})

test('a name with letters beyond ASCII gives its ASCII form', () => {
  assert.deepEqual(parseDomain('*.Bücher.example'), {
    patterns: [{ kind: 'suffix', suffix: '.xn--bcher-kva.example', source: '*.Bücher.example' }],
  })
})

test('a leading dot means the name and all names below it', () => {
  assert.deepEqual(parseDomain('.example.com'), {
    patterns: [
      { kind: 'exact', host: 'example.com', source: '.example.com' },
      { kind: 'suffix', suffix: '.example.com', source: '.example.com' },
    ],
  })
})

test('a star as first or last label gives a suffix or a prefix', () => {
  assert.deepEqual(parseDomain('*.example.com'), {
    patterns: [{ kind: 'suffix', suffix: '.example.com', source: '*.example.com' }],
  })
  assert.deepEqual(parseDomain('WWW.*'), { patterns: [{ kind: 'prefix', prefix: 'www.', source: 'WWW.*' }] })
  assert.deepEqual(parseDomain('10.*'), { patterns: [{ kind: 'prefix', prefix: '10.', source: '10.*' }] })
})

test('addresses are exact patterns in their canonical spelling', () => {
  assert.deepEqual(parseDomain('192.0.2.1'), {
    patterns: [{ kind: 'exact', host: '192.0.2.1', source: '192.0.2.1' }],
  })
  assert.deepEqual(parseDomain('[0:0::1]'), { patterns: [{ kind: 'exact', host: '[::1]', source: '[0:0::1]' }] })
})

test('a tilde gives a regular expression that ignores case and is anchored only where it says so', () => {
  const parsed = parseDomain(String.raw`~^(?<user>[^.]+)\.Example\.com$`)
  const loose = parseDomain('~shop')

  assert.ok('patterns' in parsed && 'patterns' in loose)
  const [pattern] = parsed.patterns
  const [unanchored] = loose.patterns
  assert.ok(pattern?.kind === 'regex' && unanchored?.kind === 'regex')
  assert.equal(pattern.regex.exec('ann.example.com')?.groups?.user, 'ann')
  assert.equal(pattern.regex.test('ann.example.com.evil.test'), false)
  assert.equal(unanchored.regex.test('my-shop.example.com'), true)
})

const REFUSED: [text: string, says: RegExp][] = [
  ['', /empty/],
  ['*', /default_site/],
  ['*.', /is not a domain/],
  ['.', /is not a domain/],
  ['.*', /first or the whole last label/],
  ['*.example.*', /first or the whole last label/],
  ['w*.example.com', /~regex/],
  ['http://example.com/', /scheme and the path/],
  ['example.com/shop', /scheme and the path/],
  ['user@example.com', /user name/],
  ['example.com:8080', /leave out the port/],
  ['example.com www.example.com', /separated by commas or by line ends/],
  ['example.com,www.example.com', /separated by commas or by line ends/],
  ['::1', /\[::1\]/],
  ['[::1]:80', /without a port/],
  ['[::1', /IPv6 address in brackets/],
  ['exa%41mple.com', /write the letter itself/],
  ['1.2.3', /IPv4 address/],
  ['0x7f.1', /IPv4 address/],
  ['127.0.0.01', /IPv4 address/],
  ['*.192.0.2.1', /IPv4 address/],
  ['a..b', /labels of 1 to 63/],
  [`${LONG_NAME}a`, /this one has 254/],
  ['exam\0ple.com', /labels of 1 to 63/],
  ['xn--a.com', /"xn--a" is not the ASCII form/],
  ['~', /would match every host/],
  ['~^(', /Unterminated group/],
  ['~*.example.com', /any text is '\.\*'/],
]

for (const [text, says] of REFUSED) {
  test(`the domain ${JSON.stringify(text.slice(0, 40))} is refused with the cure`, () => {
    const parsed = parseDomain(text)

    assert.ok('problem' in parsed)
    assert.match(parsed.problem, says)
  })
}

test('every accepted name is found by the host that a client sends for it', () => {
  fc.assert(
    fc.property(fc.oneof(plainName, fc.domain(), fc.string({ unit: 'grapheme', maxLength: 20 })), (name) => {
      const parsed = parseDomain(name)
      if ('problem' in parsed || name.startsWith('~')) return
      for (const pattern of parsed.patterns) {
        if (pattern.kind === 'exact')
          assert.equal(normaliseHost(`${pattern.host.toUpperCase()}.:80`.replace('].:', ']:')), pattern.host)
      }
    }),
    { numRuns: 2_000 },
  )
})
