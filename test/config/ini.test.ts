import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'ini'
import type { IniDocument, ListMode } from '../../src/config/ini.ts'
import { parseIni } from '../../src/config/ini.ts'

const lists = (mode: ListMode) => () => mode
const single = lists('single')

/** Sections, keys and texts, without lines. */
function values(document: IniDocument): Record<string, Record<string, string[]>> {
  const sections = [...document.sections].map(([name, { keys }]) => [
    name,
    Object.fromEntries([...keys].map(([key, entry]) => [key, entry.values.map((value) => value.text)])),
  ])
  return Object.fromEntries(sections)
}

function messages(document: IniDocument): string[] {
  return document.problems.map(({ line, section, key, message }) => `${line} ${section}.${key} ${message}`)
}

test('a value is known by its section, key and line', () => {
  const document = parseIni('; first\n\n[a]\nx = 1\n  y=2  ; why\n\n[b]\nx = 3', single)

  assert.deepEqual(values(document), { a: { x: ['1'], y: ['2'] }, b: { x: ['3'] } })
  assert.equal(document.sections.get('a')?.line, 3)
  assert.equal(document.sections.get('a')?.keys.get('y')?.line, 5)
  assert.equal(document.sections.get('b')?.keys.get('x')?.line, 8)
  assert.deepEqual(document.problems, [])
})

test('CRLF and CR end lines as LF does, and count as one', () => {
  const document = parseIni('[a]\r\nx = 1\r\n\r\ny = 2\rz = 3', single)

  assert.deepEqual(values(document), { a: { x: ['1'], y: ['2'], z: ['3'] } })
  assert.equal(document.sections.get('a')?.keys.get('z')?.line, 5)
})

test('true, false and null stay texts', () => {
  const document = parseIni('[a]\nx = true\ny = false\nz = null\nq = "true"', single)

  assert.deepEqual(values(document), { a: { x: ['true'], y: ['false'], z: ['null'], q: ['true'] } })
})

test('a value in quotes keeps its blanks, hashes and semicolons, and is known as quoted', () => {
  const document = parseIni(`[a]\nx = " a;b#c "\ny = 'C:\\new "x" ; #'\nz = "tab\\there"\nn = '1.50'\ne = ""`, single)

  const found = values(document).a
  assert.deepEqual(found, { x: [' a;b#c '], y: ['C:\\new "x" ; #'], z: ['tab\there'], n: ['1.50'], e: [''] })
  assert.equal(document.sections.get('a')?.keys.get('n')?.values[0]?.quoted, true)
})

test('a hash or semicolon can be written with a backslash', () => {
  const document = parseIni('[a]\nx = a\\;b\\#c \\\\ d', single)

  assert.deepEqual(values(document), { a: { x: ['a;b#c \\ d'] } })
})

test('a list goes on in further keys and in indented lines, each value with its own line', () => {
  const document = parseIni('[a]\nx = 1\nx[] = 2\n  3\n\n  ; comment\n\t4 5\ny = z', lists('list'))

  const entry = document.sections.get('a')?.keys.get('x')
  assert.deepEqual(
    entry?.values.map(({ text, line }) => [text, line]),
    [
      ['1', 2],
      ['2', 3],
      ['3', 4],
      ['4 5', 7],
    ],
  )
  assert.deepEqual(document.problems, [])
})

test('an indented line that has a key of its own is no part of the list above it, one with a regex is', () => {
  const document = parseIni('[a]\nx = 1\n  y = 2\nz = 3\n  ~^(?=a).*$\n', lists('list'))

  assert.deepEqual(values(document), { a: { x: ['1'], y: ['2'], z: ['3', '~^(?=a).*$'] } })
})

test('only lists go on in the next line', () => {
  const document = parseIni('[a]\nx = 1\n  2\n', single)

  assert.match(messages(document)[0] ?? '', /^3 a\.undefined "2" has no "="/)
})

test('brackets make a list where they are allowed, and both ways for one key are a problem', () => {
  const document = parseIni('[a]\nx[] = 1\nx[] = 2\ny = 1\ny[] = 2\nz[] = 1\nz = 2\n', lists('brackets'))

  assert.deepEqual(values(document), { a: { x: ['1', '2'], y: ['1'], z: ['1'] } })
  assert.deepEqual(messages(document), [
    '5 a.y is a list since line 4: write y[] = … on each line',
    '7 a.z is a list since line 6: write z[] = … on each line',
  ])
})

const REFUSED: [name: string, text: string, problem: RegExp][] = [
  ['a key twice', '[a]\nx = 1\nx = 2', /^3 a\.x is already set on line 2/],
  ['a section twice', '[a]\nx = 1\n[b]\n[a]\ny = 2', /^4 a\.undefined the section already began on line 1/],
  ['__proto__ as a key', '[a]\n__proto__ = 1', /^2 a\.__proto__ __proto__ cannot be a key/],
  ['__proto__ as a list', '[a]\n__proto__[] = 1', /^2 a\.__proto__ __proto__ cannot be a key/],
  ['__proto__ as a section', '[__proto__]\nx = 1', /^1 undefined\.undefined \[__proto__\] cannot be a section/],
  ['a dot in a section', '[a.b]\nx = 1', /^1 undefined\.undefined "\[a\.b\]" is not the start of a section/],
  ['a comment behind a section', '[a] ; b', /^1 .* is not the start of a section/],
  ['a section that is not closed', '[a', /^1 .* is not the start of a section/],
  ['a key before any section', 'x = 1\n[a]', /^1 undefined\.x stands before any section/],
  ['a line without "="', '[a]\nport 80', /^2 a\.undefined "port 80" has no "="/],
  ['a line that begins with "="', '[a]\n= 80', /^2 a\.undefined "" cannot be a key/],
  ['a key in quotes', '[a]\n"x" = 1', /^2 a\.undefined '"x"' cannot be a key/],
  ['a key with a blank', '[a]\nx y = 1', /^2 a\.undefined "x y" cannot be a key/],
  ['a hash that cuts a value', '[a]\nx = https://e/#frag', /^2 a\.x "https:\/\/e\/#frag" would end before the "#"/],
  ['a semicolon that cuts a value', '[a]\nx = a;b', /^2 a\.x "a;b" would end before the ";"/],
  ['a value that is a comment', '[a]\nx = #fff', /^2 a\.x the value is empty, because "#" begins a comment/],
  ['a quote that is not closed', '[a]\nx = "open', /^2 a\.x '"open' begins with a quote but does not end with it/],
  ['a comment behind a quoted value', '[a]\nx = "a" ; b', /^2 a\.x .* begins with a quote but does not end with it/],
  ['two quoted values', '[a]\nx = "a" "b"', /^2 a\.x .* is not a text in double quotes/],
  ['a backslash in double quotes', '[a]\nx = "C:\\data"', /^2 a\.x .* is not a text in double quotes/],
  ['a single quote in single quotes', "[a]\nx = 'it's'", /^2 a\.x .* has a single quote inside single quotes/],
  ['a backslash at the end', '[a]\nx = one\\\n', /^2 a\.x a backslash at the end does not join lines/],
  ['a NUL by escape', '[a]\nx = "a\\u0000"', /^2 a\.x the value has a NUL character in it/],
  ['a line separator', '[a]\nx = a\u2028b', /^2 a\.x the line has a line separator/],
  ['several values for a single one', '[a]\nx[] = 1', /^2 a\.x takes one value/],
]
for (const [name, text, problem] of REFUSED) {
  test(`${name} is a problem with its line`, () => {
    const found = messages(parseIni(text, single))

    assert.equal(found.length, 1, found.join('\n'))
    assert.match(found[0] ?? '', problem)
  })
}

test('what stands below a header that is refused is not complained about', () => {
  const document = parseIni('[a.b]\nx = 1\ny\n[c]\nz = 1', single)

  assert.equal(document.problems.length, 1)
  assert.deepEqual(values(document), { c: { z: ['1'] } })
})

test('a file of nothing but wrong lines ends in a limited number of problems', () => {
  const document = parseIni('x\n'.repeat(500_000), single)

  assert.equal(document.problems.length, 1000)
})

/** Lines made of what INI files are made of, so that most of them mean something. */
const line = fc
  .array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constantFrom('[', ']', '=', ' = ', ';', '#', '"', "'", '\\', '.', ' ', '\t', '[]', ','),
      },
      { weight: 8, arbitrary: fc.constantFrom('a', 'b', 'key', 'true', 'null', '1', '__proto__', 'constructor', '{}') },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''))
const likelyLine = fc.oneof(
  { weight: 1, arbitrary: line },
  { weight: 1, arbitrary: fc.constantFrom('[a]', '[b]', '[c]', '', '; comment') },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('a', 'b', 'key', 'c[]', 'd[]'), line).map(([k, v]) => `${k} = ${v}`),
  },
)
const iniText = fc.array(likelyLine, { maxLength: 12 }).map((lines) => lines.join('\n'))

test('any text is read without an exception, and what is accepted means what it means to `ini`', () => {
  let accepted = 0
  fc.assert(
    fc.property(iniText, (text) => {
      const document = parseIni(text, lists('brackets'))
      // Single quotes are the one place where the same text is meant to mean something else: see ini.ts.
      if (document.problems.length > 0 || text.includes("'")) return

      accepted++
      const theirs = parse(text) as Record<string, Record<string, unknown>>
      const flat = Object.entries(theirs).map(([section, keys]) => [
        section,
        Object.fromEntries(Object.entries(keys).map(([key, value]) => [key, [value].flat().map(String)])),
      ])
      assert.deepEqual(values(document), Object.fromEntries(flat))
    }),
    { numRuns: 20_000 },
  )
  assert.ok(accepted > 500, `only ${accepted} texts were good ones`)
})
