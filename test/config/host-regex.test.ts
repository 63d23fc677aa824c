import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileHostRegex } from '../../src/config/host-regex.ts'

const USUAL = [
  String.raw`^(?<user>.+)\.example\.com$`,
  String.raw`(.+)\.example\.com`,
  String.raw`^(?<a>.+)\.(?<b>.+)\.example\.com$`,
  String.raw`^([^.]+)\.([^.]+)\.([^.]+)\.([^.]+)\.([^.]+)\.([^.]+)$`,
  String.raw`^(?:[a-z0-9-]+\.)+example\.com$`,
  String.raw`^(?:www\.|shop\.)?example\.(?:com|net|org)$`,
  String.raw`^shop\d{1,3}\.example\.com$`,
  String.raw`^(?!www\.)[^.]*\.example\.com$`,
  String.raw`^(?<name>.+)-(?<number>\d+)\.preview\.example\.com$`,
  String.raw`^(?:25[0-5]|2[0-4]\d|1?\d?\d)\.\d+\.\d+\.\d+$`,
  String.raw`^([a-z]+)-\1\.example\.com$`,
  String.raw`^[\w\-]+\.\u{65}xample\.\x63om$`,
]

for (const pattern of USUAL) {
  test(`the usual pattern ${pattern} is accepted`, () => {
    assert.ok('regex' in compileHostRegex(pattern))
  })
}

const SLOW = [
  '(a+)+$',
  '^(a|a)*$',
  '^(a|aa)+$',
  '^(.*)*$',
  '^(.*a){20}$',
  String.raw`^(.+\.)+example\.com$`,
  '^(([a-z])+.)+[a-z]([a-z])+$',
  '^(a?){50}a{50}$',
  '^.*.*.*.*x$',
  '(?=(a+)+$)',
  '(?<=(a+)+)x$',
  '^(?:a|(?:b|b)+)$',
  String.raw`(.+)\.(.+)\.(.+)\.example\.com$`,
  '(?:a{0,100000}){0,100000}',
  '((((a{1000}){1000}){1000}){1000}){1000}',
  '(?:){1000000000}',
]

for (const pattern of SLOW) {
  test(`the pattern ${pattern} is refused, for a host could make it slow`, () => {
    const compiled = compileHostRegex(pattern)

    assert.ok('problem' in compiled)
    assert.match(compiled.problem, /slow/)
  })
}

const WRONG: [pattern: string, says: RegExp][] = [
  ['', /empty/],
  ['^(', /^Unterminated group$/],
  ['a{1', /itself is written \\\{/],
  [String.raw`a\-b`, /leave out the '\\' before/],
  [String.raw`a\yb`, /may stand before one of/],
  ['(?P<name>a)', /write \(\?<name>/],
  ['(?i)^www', /case never counts/],
  ['*^www', /write ~ and not ~\*/],
  ['^[[:alpha:]]+$', /write \[a-z\]/],
  [String.raw`\Aa\z`, /write \^ for \\A/],
  ['a++', /write \+ for \+\+/],
  ['^(?>a)b', /\(\?:…\) for/],
  [String.raw`^[\w-.]+$`, /at their end/],
  ['/^www/', /matches no host/],
  ['^https?://a', /matches no host/],
  ['^(?:a/|b/)', /matches no host/],
  ['^exam ple$', /no blanks/],
  ['^bücher', /xn--/],
  ['(?i:a)', /case never counts/],
  ['a'.repeat(1001), /longer than 1000/],
]

for (const [pattern, says] of WRONG) {
  test(`the pattern ${JSON.stringify(pattern.slice(0, 20))} is refused with the reason`, () => {
    const compiled = compileHostRegex(pattern)

    assert.ok('problem' in compiled)
    assert.match(compiled.problem, says)
  })
}

/** Patterns of the parts that blow up when combined badly. */
const { pattern: anyPattern } = fc.letrec<{ pattern: string; part: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { withCrossShrink: true, depthSize: 'small' },
    fc.constantFrom('a', 'b', '.', '\\.', '[^.]', '[ab]', '\\w', '\\d', '$', '^', '\\b', '-'),
    tie('pattern').map((inner) => `(?:${inner})`),
    tie('pattern').map((inner) => `(${inner})`),
    fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => `(?:${left}|${right})`),
  ),
  part: fc.oneof(
    tie('atom'),
    fc
      .tuple(
        tie('atom').filter((atom) => !/^(?:\$|\^|\\b)$/.test(atom)),
        fc.constantFrom('+', '*', '?', '{2,9}', '+?'),
      )
      .map(([atom, quantifier]) => atom + quantifier),
  ),
  pattern: fc.array(tie('part'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
}))

/** Hosts that make a matcher go back: long runs that nearly match. */
const HOSTILE = ['a', 'ab', 'a.', 'ab.a.', '1', 'a1-'].map((unit) => `${unit.repeat(253).slice(0, 252)}_`)

test('no accepted pattern takes long on any host', () => {
  let accepted = 0
  fc.assert(
    fc.property(anyPattern, (pattern) => {
      const compiled = compileHostRegex(pattern)
      if ('problem' in compiled) return
      accepted++
      for (const host of HOSTILE) {
        // Of this thread: on a busy machine it may have no processor for long.
        const before = process.threadCpuUsage()
        compiled.regex.test(host)
        const { user, system } = process.threadCpuUsage(before)
        const tookMs = (user + system) / 1_000
        // A million steps are about 5 ms; patterns that blow up take seconds to centuries on 253 characters.
        assert.ok(tookMs < 500, `${pattern} took ${tookMs} ms on ${host}`)
      }
    }),
    { numRuns: 3_000 },
  )
  // Some 350 of 3,000, as they come.
  assert.ok(accepted > 200, `only ${accepted} patterns were accepted`)
})
