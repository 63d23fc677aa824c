import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressSet } from '../../src/config/network.ts'
import { clientFinder, dropForwarded } from '../../src/dispatcher/forwarded.ts'

const find = clientFinder(addressSet(['10.0.0.0/8', 'unix']))

function found(headers: Record<string, string>, peer = '10.0.0.1') {
  return find({ headers } as unknown as IncomingMessage, { address: peer, port: 5, encrypted: false })
}

test('the client is the nearest address that is not trusted', () => {
  for (const [list, address] of [
    ['192.0.2.1', '192.0.2.1'],
    ['203.0.113.1, 192.0.2.1', '192.0.2.1'],
    ['203.0.113.1, 192.0.2.1, 10.2.2.2', '192.0.2.1'],
    ['10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['192.0.2.1:4711', '192.0.2.1'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['203.0.113.1, nonsense', '10.0.0.1'],
    ['203.0.113.1, nonsense, 10.2.2.2', '10.2.2.2'],
    ['', '10.0.0.1'],
    [',', '10.0.0.1'],
  ] as const) {
    assert.equal(found({ 'x-forwarded-for': list }).address, address, list)
  }
  assert.deepEqual(found({}), { address: '10.0.0.1', port: 5, encrypted: false })
  assert.deepEqual(found({ 'x-forwarded-for': '192.0.2.1' }, ''), { address: '192.0.2.1', port: 0, encrypted: false })
})

test('Forwarded is read as RFC 7239 says', () => {
  for (const [header, address, encrypted] of [
    ['for=192.0.2.60;proto=https;by=203.0.113.43', '192.0.2.60', true],
    ['For="[2001:db8:cafe::17]:4711"', '2001:db8:cafe::17', false],
    ['for=203.0.113.1;proto=https, for=198.51.100.17;proto=http', '198.51.100.17', false],
    ['for=198.51.100.17;proto=https, for=10.2.2.2;proto=http', '198.51.100.17', true],
    ['for=unknown', '10.0.0.1', false],
    ['for=_hidden, for=_SEVKISEK', '10.0.0.1', false],
    ['for="a,b;c", for=192.0.2.1', '192.0.2.1', false],
    ['for="192.0.2\\.1"', '192.0.2.1', false],
    ['for=203.0.113.1,, for=192.0.2.1 ; proto=https;', '192.0.2.1', true],
    ['nonsense', '10.0.0.1', false],
    ['for=192.0.2.1;nonsense', '10.0.0.1', false],
    ['for=192.0.2.1;for=203.0.113.1', '10.0.0.1', false],
    ['for=192.0.2.1;host="a;for=203.0.113.1', '10.0.0.1', false],
  ] as const) {
    const client = found({ forwarded: header })
    assert.deepEqual([client.address, client.encrypted], [address, encrypted], header)
  }
  assert.equal(found({ forwarded: 'for=203.0.113.1', 'x-forwarded-for': '192.0.2.1' }).address, '192.0.2.1')
})

test('nothing that a client wrote in Forwarded changes what the proxy behind it says', () => {
  const byProxy = 'for="[2001:db8::1]:4711";host="a, \\"b\\"";proto=https'
  for (const byClient of ['for=10.9.9.9;a="b', 'for=10.9.9.9;a="b\\', '"', '\\', 'for="a', 'for="a"', ',', '=;"\\"']) {
    const client = found({ forwarded: `${byClient}, ${byProxy}` })
    assert.deepEqual(client, { address: '2001:db8::1', port: 0, encrypted: true }, byClient)
  }
})

test('the scheme is what the nearest proxy says', () => {
  const from = { 'x-forwarded-for': '192.0.2.1' }

  assert.equal(found({ ...from, 'x-forwarded-proto': 'https' }).encrypted, true)
  assert.equal(found({ ...from, 'x-forwarded-proto': 'https, http' }).encrypted, false)
  assert.equal(found({ ...from, 'x-forwarded-proto': 'nonsense' }).encrypted, false)
})

test('no header makes it fail, take long, or give something that is no address', () => {
  const text = fc.string({ unit: fc.constantFrom(...'for=,;"\\[]:. 10a'), maxLength: 2_000 })
  fc.assert(
    fc.property(text, (header) => {
      for (const headers of [{ forwarded: header }, { 'x-forwarded-for': header }]) {
        assert.match(found(headers as Record<string, string>).address, /^[0-9a-f:.]+$/)
      }
    }),
    { numRuns: 500 },
  )
  const began = performance.now()
  found({ forwarded: `for="${'\\"'.repeat(15_000)}` })
  found({ forwarded: 'for=a;'.repeat(5_000) })
  found({ forwarded: `for=${' '.repeat(30_000)}a` })
  found({ forwarded: `"${'\\'.repeat(30_000)}"` })
  found({ 'x-forwarded-for': '10.0.0.1,'.repeat(3_500) })
  assert.ok(performance.now() - began < 1_000)
})

test('headers of strangers are dropped, in whatever case, and nothing else', () => {
  const req = {
    rawHeaders: [
      'Host',
      'a',
      'x-FORWARDED-for',
      '1',
      'X-Real-IP',
      '2',
      'Forwarded',
      'for=3',
      'X-Forwarder',
      '4',
      'From',
      '5',
    ],
    headers: { host: 'a', 'x-forwarded-for': '1', 'x-real-ip': '2', forwarded: 'for=3', 'x-forwarder': '4', from: '5' },
  } as unknown as IncomingMessage

  dropForwarded(req)

  assert.deepEqual(req.rawHeaders, ['Host', 'a', 'X-Forwarder', '4', 'From', '5'])
  assert.deepEqual(req.headers, { host: 'a', 'x-forwarder': '4', from: '5' })
})
