import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest } from '../../src/config/suggest.ts'

const WORDS = ['domains', 'root', 'module', 'timeout', 'queue_timeout', 'watch']

for (const [word, expected] of [
  ['domain', 'domains'],
  ['Domains', 'domains'],
  ['rot', 'root'],
  ['mdoule', 'module'],
  ['tiemout', 'timeout'],
  ['queue-timeout', 'queue_timeout'],
  ['wtach', 'watch'],
  ['listen', undefined],
  ['x', undefined],
  ['', undefined],
  ['x'.repeat(10_000), undefined],
] as const) {
  test(`"${word.slice(0, 20)}" is nearest to ${expected}`, () => assert.equal(nearest(word, WORDS), expected))
}
