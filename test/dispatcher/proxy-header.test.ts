import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseProxyHeader } from '../../src/dispatcher/proxy-header.ts'

const V2 = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const REST = Buffer.from('GET / HTTP/1.1\r\n')

function v2(command: number, family: number, addresses: number[]): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(addresses.length)
  return Buffer.concat([V2, Buffer.from([0x20 | command, family]), length, Buffer.from(addresses)])
}

const FOUR = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 80]
const HEADERS: [Buffer, { address: string; port: number } | undefined][] = [
  [Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n'), { address: '192.0.2.1', port: 1234 }],
  [Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n'), { address: '2001:db8::1', port: 1 }],
  [Buffer.from('PROXY UNKNOWN ffff:f::1 whatever\r\n'), undefined],
  [v2(1, 0x11, FOUR), { address: '192.0.2.1', port: 0x1234 }],
  // With what a balancer adds behind the addresses.
  [v2(1, 0x11, [...FOUR, 0x04, 0, 3, 1, 2, 3]), { address: '192.0.2.1', port: 0x1234 }],
  [v2(0, 0x00, []), undefined],
  [v2(0, 0x11, FOUR), undefined],
  // A balancer that speaks for itself need not say what is true of addresses.
  [v2(0, 0x11, []), undefined],
  [v2(0, 0x21, FOUR), undefined],
  [v2(0, 0x5f, [1, 2, 3]), undefined],
  [v2(1, 0x31, Array(216).fill(65)), undefined],
]

test('a header is found however it is cut, and what follows is left alone', () => {
  for (const [header, peer] of HEADERS) {
    for (let length = 0; length < header.length; length++) {
      assert.equal(parseProxyHeader(header.subarray(0, length)), undefined, `${length} of ${header.toString('latin1')}`)
    }
    assert.deepEqual(parseProxyHeader(header), { peer, rest: Buffer.alloc(0) })
    assert.deepEqual(parseProxyHeader(Buffer.concat([header, REST])), { peer, rest: REST })
  }
})

test('what is no header is refused', () => {
  for (const bytes of [
    REST,
    Buffer.from('PROXY TCP4 2001:db8::1 2001:db8::2 1 80\r\n'),
    Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 123456 80\r\n'),
    Buffer.from('PROXY TCP4 192.0.2.999 192.0.2.2 1 80\r\n'),
    Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n'),
    Buffer.from(`PROXY TCP4 ${'1'.repeat(120)}`),
    Buffer.concat([V2, Buffer.from([0x31, 0x11, 0, 12]), Buffer.from(FOUR)]),
    v2(1, 0x11, [1, 2, 3]),
    v2(5, 0x11, FOUR),
    Buffer.concat([V2, Buffer.from([0x21, 0x11, 0xff, 0xff])]),
  ]) {
    assert.throws(() => parseProxyHeader(bytes))
  }
})

test('any bytes are a header, no header, or the beginning of one', () => {
  const start = fc.constantFrom(Buffer.alloc(0), V2, Buffer.from('PROXY '), Buffer.from('PROXY TCP4 '))
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (head, tail) => {
      const bytes = Buffer.concat([head, tail])
      let found: ReturnType<typeof parseProxyHeader>
      try {
        found = parseProxyHeader(bytes)
      } catch (error) {
        assert.ok(error instanceof Error || (error as { name: string }).name.endsWith('ParseError'))
        return
      }
      if (found === undefined) assert.ok(bytes.length < 4096)
      else assert.ok(bytes.subarray(bytes.length - found.rest.length).equals(found.rest))
    }),
    { numRuns: 2_000 },
  )
})
