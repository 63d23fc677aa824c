import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, describeWish, isSamePlace, parseListen } from '../../src/worker/listen-arguments.ts'

const callback = (): void => {}

const rows: [string, unknown[], object, unknown][] = [
  ['listen()', [], { port: 0 }, { address: '::', family: 'IPv6', port: 50_000 }],
  ['listen(3000)', [3000], { port: 3000 }, { address: '::', family: 'IPv6', port: 3000 }],
  ["listen('3000')", ['3000'], { port: 3000 }, { address: '::', family: 'IPv6', port: 3000 }],
  ['listen(callback)', [callback], { port: 0, callback }, { address: '::', family: 'IPv6', port: 50_000 }],
  [
    'listen(3000, host)',
    [3000, '127.0.0.1'],
    { port: 3000, host: '127.0.0.1' },
    { address: '127.0.0.1', family: 'IPv4', port: 3000 },
  ],
  [
    'listen(3000, localhost, 511, callback)',
    [3000, 'localhost', 511, callback],
    { port: 3000, host: 'localhost', callback },
    { address: '127.0.0.1', family: 'IPv4', port: 3000 },
  ],
  [
    'listen({ port, host })',
    [{ port: 8080, host: '::1' }],
    { port: 8080, host: '::1' },
    { address: '::1', family: 'IPv6', port: 8080 },
  ],
  ["listen({ port: '80' })", [{ port: '80' }], { port: 80 }, { address: '::', family: 'IPv6', port: 80 }],
  ['listen({ port: undefined })', [{ port: undefined }], { port: 0 }, { address: '::', family: 'IPv6', port: 50_000 }],
  ['listen(path)', ['/run/site.sock'], { path: '/run/site.sock' }, '/run/site.sock'],
  ['listen({ path })', [{ path: '/run/site.sock' }], { path: '/run/site.sock' }, '/run/site.sock'],
  ['listen({ fd })', [{ fd: 3 }], {}, { address: '::', family: 'IPv6', port: 50_000 }],
]

for (const [name, args, wish, address] of rows) {
  test(`${name} is understood`, () => {
    const parsed = parseListen(args)

    const none = { port: undefined, host: undefined, path: undefined, signal: undefined, callback: undefined }
    assert.deepEqual(parsed, { ...none, ...wish })
    assert.deepEqual(addressOf(parsed, parsed.port || 50_000), address)
  })
}

test('a wish is described as a person would', () => {
  assert.equal(describeWish(parseListen([5432])), 'port 5432')
  assert.equal(describeWish(parseListen([5432, '127.0.0.1'])), '127.0.0.1:5432')
  assert.equal(describeWish(parseListen(['/run/x'])), '/run/x')
  assert.equal(describeWish(parseListen([{ fd: 4 }])), 'a handle')
})

const places: [unknown[], unknown[], boolean][] = [
  [[3000], [3000], true],
  [[3000], [3001], false],
  [[3000, '127.0.0.1'], [3000], true],
  [[3000, '127.0.0.1'], [3000, '0.0.0.0'], true],
  [[3000, '127.0.0.1'], [3000, '::1'], false],
  [[3000, 'localhost'], [3000, '127.0.0.1'], true],
  [[0], [0], false],
  [['/run/a'], ['/run/a'], true],
  [['/run/a'], ['/run/b'], false],
  [['/run/a'], [3000], false],
  [[{ fd: 3 }], [{ fd: 3 }], false],
]

for (const [one, other, isSame] of places) {
  test(`${describeWish(parseListen(one))} and ${describeWish(parseListen(other))} are ${isSame ? '' : 'not '}the same`, () => {
    assert.equal(isSamePlace(parseListen(one), parseListen(other)), isSame)
  })
}
