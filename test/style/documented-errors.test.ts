import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import * as errors from '../../src/core/errors.ts'

const page = readFileSync(resolve(import.meta.dirname, '../../docs/errors.md'), 'utf8')

function codes(): string[] {
  const found: string[] = []
  for (const make of Object.values(errors)) {
    const Make = make as unknown as new (...args: unknown[]) => Error & { code: string }
    found.push(new Make('x', 1, 'x', 'x').code)
  }
  return found.sort()
}

test('docs/errors.md explains every code that the program has, and no other', () => {
  const documented = [...page.matchAll(/^## `(VHOSTEL_[A-Z_]+)`/gm)].map((match) => match[1] as string).sort()

  assert.deepEqual(documented, codes())
})

test('no two errors share a code', () => {
  assert.equal(new Set(codes()).size, codes().length)
})
