import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSiteEnv } from '../../src/worker/site-env.ts'

test('an environment keeps strings only, as process.env does', () => {
  const env = createSiteEnv({ A: '1' })
  const loose = env as Record<string, unknown>

  loose.B = 2
  loose.C = undefined
  loose.D = true
  delete env.A

  assert.deepEqual({ ...env }, { B: '2', C: 'undefined', D: 'true' })
  assert.equal('A' in env, false)
  assert.deepEqual(Object.keys(env), ['B', 'C', 'D'])
})

test('what process.env refuses is refused', () => {
  const env = createSiteEnv({})

  assert.throws(() => Object.defineProperty(env, 'X', { get: () => '1' }), TypeError)
  assert.throws(() => {
    ;(env as Record<string, unknown>).X = Symbol('s')
  }, TypeError)
})

test('two environments share nothing', () => {
  const values = { A: '1' }
  const one = createSiteEnv(values)
  const other = createSiteEnv(values)

  one.A = '2'

  assert.equal(other.A, '1')
  assert.equal(values.A, '1')
})

test('what is set on an object made of an environment is not set in the environment', () => {
  const env = createSiteEnv({ A: '1' })
  const own = Object.create(env) as Record<string, unknown>

  own.A = '2'
  own.B = '3'

  assert.deepEqual({ ...env }, { A: '1' })
  assert.deepEqual({ ...own }, { A: '2', B: '3' })
})
