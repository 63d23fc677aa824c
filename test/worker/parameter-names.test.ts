import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parameterNames } from '../../src/worker/parameter-names.ts'

type AnyFunction = (...args: never[]) => unknown
/** Functions as sites write them, which a formatter would change here. */
const made = (source: string): AnyFunction => new Function(`return (${source})`)() as AnyFunction

const rows: [string, string[] | undefined][] = [
  ['function (req, res) {}', ['req', 'res']],
  ['async function named (fastify, opts) {}', ['fastify', 'opts']],
  ['(a, b) => a', ['a', 'b']],
  ['async (request) => request', ['request']],
  ['request => request', ['request']],
  ['async request => request', ['request']],
  ['() => 1', []],
  ['function* (a) {}', ['a']],
  ['(fastify, opts = {}) => 1', ['fastify', 'opts']],
  ['(fastify, { prefix = "a, b)" } = {}) => 1', ['fastify', '']],
  ['([first, second], ...rest) => 1', ['', 'rest']],
  ['(a /* one, (two */, // three )\n b) => 1', ['a', 'b']],
  ["(a = ')', b = `(`) => 1", ['a', 'b']],
  ['(a = (1, 2), b) => 1', ['a', 'b']],
  ['{ async fetch (request, env) {} }.fetch', ['request', 'env']],
  ['function (\n  req,\n  res,\n  next,\n) {}', ['req', 'res', 'next']],
  ['class Site { constructor (a) {} }', undefined],
  ['((a, b) => 1).bind(null)', undefined],
]

for (const [source, names] of rows) {
  test(`reads the names of ${JSON.stringify(source)}`, () => {
    assert.deepEqual(parameterNames(made(source)), names)
  })
}
