import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const SRC = resolve(import.meta.dirname, '../../src')
const MAX_LINES = 500
const files = globSync('**/*.ts', { cwd: SRC })

test('no source file has more than 500 lines', () => {
  const long = files.filter((file) => readFileSync(join(SRC, file), 'utf8').split('\n').length > MAX_LINES)

  assert.deepEqual(long, [])
})

test('every source file opens by saying what it is', () => {
  const silent = files.filter((file) => !readFileSync(join(SRC, file), 'utf8').startsWith('/**'))

  assert.deepEqual(silent, [])
})
