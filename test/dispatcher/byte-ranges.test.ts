import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RangeWish } from '../../src/dispatcher/byte-ranges.ts'
import { multipart, readRanges } from '../../src/dispatcher/byte-ranges.ts'

const many = (count: number): string => `bytes=${Array.from({ length: count }, (_, at) => `${at}-${at}`).join(',')}`

const READ: [header: string, size: number, wish: RangeWish][] = [
  ['bytes=0-3', 10, [{ start: 0, end: 3 }]],
  ['bytes=4-', 10, [{ start: 4, end: 9 }]],
  ['bytes=-3', 10, [{ start: 7, end: 9 }]],
  // RFC 9110 §14.1.2: a suffix longer than the file is the whole file.
  ['bytes=-30', 10, [{ start: 0, end: 9 }]],
  ['bytes=9-9999999', 10, [{ start: 9, end: 9 }]],
  ['Bytes=0-0', 10, [{ start: 0, end: 0 }]],
  [
    ' bytes= 0-1 ,\t4-5 ',
    10,
    [
      { start: 0, end: 1 },
      { start: 4, end: 5 },
    ],
  ],
  ['bytes=,0-1,,', 10, [{ start: 0, end: 1 }]],
  // In the order asked for, as nginx has it.
  [
    'bytes=5-6,0-1',
    10,
    [
      { start: 5, end: 6 },
      { start: 0, end: 1 },
    ],
  ],
  ['bytes=0-1,90-99', 10, [{ start: 0, end: 1 }]],
  [
    'bytes=0-4,2-5',
    10,
    [
      { start: 0, end: 4 },
      { start: 2, end: 5 },
    ],
  ],
  ['bytes=10-', 10, 'none'],
  ['bytes=-0', 10, 'none'],
  ['bytes=5-2', 10, 'none'],
  ['bytes=', 10, 'none'],
  ['bytes=a-b', 10, 'none'],
  ['bytes=-', 10, 'none'],
  ['bytes=1', 10, 'none'],
  ['bytes=0-1;2-3', 10, 'none'],
  ['bytes=0-1,x', 10, 'none'],
  ['bytes=+1-2', 10, 'none'],
  ['bytes=0x1-2', 10, 'none'],
  ['lines=0-1', 10, 'whole'],
  ['bytes 0-1', 10, 'whole'],
  ['bytes=0-', 0, 'whole'],
  // More bytes than there are.
  ['bytes=0-,0-', 10, 'whole'],
  ['bytes=0-5,4-9,2-3', 10, 'whole'],
  [many(101), 1000, 'whole'],
  [`bytes=${'0-0,'.repeat(2000)}`, 10_000, 'whole'],
]

test('a Range header is read as the RFC says, and as nginx does where it leaves that open', () => {
  for (const [header, size, wish] of READ) assert.deepEqual(readRanges(header, size), wish, header)
  assert.equal(readRanges(many(100), 1000).length, 100)
})

test('whatever is sent, no more bytes are promised than the file has, and none outside of it', () => {
  const header = fc.stringMatching(/^bytes=[0-9,\- ]{0,60}$/)
  fc.assert(
    fc.property(header, fc.integer({ min: 0, max: 200 }), (text, size) => {
      const wish = readRanges(text, size)
      if (typeof wish === 'string') return
      let bytes = 0
      for (const { start, end } of wish) {
        assert.ok(start >= 0 && start <= end && end < size)
        bytes += end - start + 1
      }
      assert.ok(bytes <= size && wish.length > 0)
    }),
  )
})

test('the length of several parts is that of what is sent', () => {
  const ranges = [
    { start: 0, end: 1 },
    { start: 7, end: 9 },
  ]

  const { type, length, parts, tail } = multipart(ranges, 'text/plain', 10)

  const boundary = /^multipart\/byteranges; boundary=([0-9a-f]{30})$/.exec(type)?.[1]
  const heads = parts.map(({ head }) => head.toString())
  assert.deepEqual(heads, [
    `\r\n--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n`,
    `\r\n--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n`,
  ])
  assert.equal(tail.toString(), `\r\n--${boundary}--\r\n`)
  assert.equal(length, heads.join('').length + 5 + tail.length)
})
