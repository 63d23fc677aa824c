import assert from 'node:assert/strict'
import { test } from 'node:test'
import { culpritsOf } from '../../src/pool/helper-threads.ts'

const use = (site: string, costMs: number, natives = 0) => ({ site, costMs, natives })

test('the site whose jobs account for the time of the helper threads is to blame', () => {
  const uses = [use('hashes', 450), use('reads', 12), use('asks', 0, 30)]
  assert.deepEqual(culpritsOf(uses, 900), { known: ['hashes'], possible: [] })
})

test('of several that did much each is', () => {
  const uses = [use('one', 400), use('other', 250), use('little', 190)]
  assert.deepEqual(culpritsOf(uses, 700), { known: ['one', 'other'], possible: [] })
})

test('where the jobs that are known explain too little, it may have been any site with jobs of native addons', () => {
  const uses = [use('reads', 40), use('one', 0, 3), use('other', 5, 1)]
  assert.deepEqual(culpritsOf(uses, 900), { known: [], possible: ['one', 'other'] })
})

test('nobody is to blame whose jobs were few, nor where there were none', () => {
  assert.deepEqual(culpritsOf([use('reads', 40)], 900), { known: [], possible: [] })
  assert.deepEqual(culpritsOf([use('none', 0)], 0), { known: [], possible: [] })
  assert.deepEqual(culpritsOf([], 900), { known: [], possible: [] })
})
