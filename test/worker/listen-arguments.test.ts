import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Place } from '../../src/worker/listen-arguments.ts'
import { describePlace, isSamePlace, withoutLookup } from '../../src/worker/listen-arguments.ts'

const callback = (): void => {}

const rows: [string, unknown[], unknown[]][] = [
  ['listen()', [], []],
  ['listen(3000)', [3000], [3000]],
  ['listen(callback)', [callback], [callback]],
  ['listen(3000, address)', [3000, '127.0.0.1', callback], [3000, '127.0.0.1', callback]],
  ['listen(3000, IPv6 address)', [3000, '::1'], [3000, '::1']],
  ['listen(3000, localhost)', [3000, 'localhost', 511, callback], [3000, '127.0.0.1', 511, callback]],
  ["listen('3000', name)", ['3000', 'www.example.com'], ['3000', '0.0.0.0']],
  ['listen({ port, host })', [{ port: 8080, host: 'db.internal' }], [{ port: 8080, host: '0.0.0.0' }]],
  ['listen({ port, address })', [{ port: 8080, host: '::1' }, callback], [{ port: 8080, host: '::1' }, callback]],
  ['listen(path, text)', ['/run/site.sock', 'text'], ['/run/site.sock', 'text']],
  ['listen(null)', [null, 'text'], [null, 'text']],
]

for (const [name, args, expected] of rows) {
  test(`${name} needs no look-up of a name`, () => {
    assert.deepEqual(withoutLookup(args), expected)
  })
}

function at(address: string, port: number, more: Partial<Place> = {}): Place {
  return { address, port, path: undefined, isIpv6Only: false, isShared: false, ...more }
}

function path(name: string): Place {
  return { address: undefined, port: undefined, path: name, isIpv6Only: false, isShared: false }
}

const handle: Place = { address: undefined, port: undefined, path: undefined, isIpv6Only: false, isShared: false }

const places: [Place, Place, boolean][] = [
  [at('::', 3000), at('::', 3000), true],
  [at('::', 3000), at('::', 3001), false],
  [at('127.0.0.1', 3000), at('::', 3000), true],
  [at('127.0.0.1', 3000), at('0.0.0.0', 3000), true],
  [at('127.0.0.1', 3000), at('::1', 3000), false],
  [at('0.0.0.0', 3000), at('::1', 3000), false],
  [at('0.0.0.0', 3000), at('::', 3000, { isIpv6Only: true }), false],
  [at('::1', 3000), at('::', 3000, { isIpv6Only: true }), true],
  [at('::', 3000, { isShared: true }), at('::', 3000, { isShared: true }), false],
  [at('::', 3000, { isShared: true }), at('::', 3000), true],
  [path('/run/a'), path('/run/a'), true],
  [path('/run/a'), path('/run/b'), false],
  [path('/run/a'), at('::', 3000), false],
  [handle, handle, false],
]

for (const [index, [one, other, isSame]] of places.entries()) {
  test(`${describePlace(one)} and ${describePlace(other)} are ${isSame ? '' : 'not '}the same (${index + 1})`, () => {
    assert.equal(isSamePlace(one, other), isSame)
    assert.equal(isSamePlace(other, one), isSame)
  })
}

test('a place is described as a person would', () => {
  assert.equal(describePlace(at('::', 5432)), 'port 5432')
  assert.equal(describePlace(at('127.0.0.1', 5432)), '127.0.0.1:5432')
  assert.equal(describePlace(path('/run/x')), '/run/x')
  assert.equal(describePlace(handle), 'a handle')
})
