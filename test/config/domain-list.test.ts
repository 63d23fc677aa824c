import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { domainKey, readDomains, splitDomains } from '../../src/config/domain-list.ts'

const SPLITS: [text: string, expected: string[]][] = [
  ['a.com, b.com c.com\td.com', ['a.com', 'b.com', 'c.com', 'd.com']],
  ['a.com,b.com,', ['a.com', 'b.com']],
  ['~^a{1,3}$,b.com', ['~^a{1,3}$', 'b.com']],
  ['~^(a,b)[,x]$, ~c', ['~^(a,b)[,x]$', '~c']],
  ['~a\\{1,b.com', ['~a\\{1', 'b.com']],
  ['[::1],b.com', ['[::1]', 'b.com']],
  [' ,, ', []],
]
for (const [text, expected] of SPLITS) {
  test(`"${text}" is ${expected.length} domains`, () => assert.deepEqual(splitDomains(text), expected))
}

test('names without regex never stay together across a comma or a blank', () => {
  const name = fc.stringMatching(/^[a-z]{1,5}\.[a-z]{2}$/)
  const separator = fc.constantFrom(',', ' ', ', ', '\t', ' ,,  ')
  fc.assert(
    fc.property(fc.array(fc.tuple(name, separator), { maxLength: 20 }), (parts) => {
      const names = parts.map(([part]) => part)
      assert.deepEqual(splitDomains(parts.flat().join('')), names)
    }),
  )
})

test('each pattern has the line of its domain', () => {
  const domains = readDomains([
    { text: 'a.com .b.com', quoted: false, line: 3 },
    { text: 'c.com', quoted: false, line: 5 },
  ])

  assert.deepEqual(
    domains.patterns.map((pattern, index) => [domainKey(pattern), domains.lines[index]]),
    [
      ['a.com', 3],
      ['b.com', 3],
      ['.b.com', 3],
      ['c.com', 5],
    ],
  )
})

test('patterns of different kinds never have one key', () => {
  const { patterns, problems } = readDomains([{ text: 'a.com *.a.com a.com.* ~a\\.com', quoted: false, line: 1 }])

  assert.deepEqual(problems, [])
  assert.equal(new Set(patterns.map(domainKey)).size, 4)
})
