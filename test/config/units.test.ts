import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { duration, formatDuration, formatSize, percent, size } from '../../src/config/measures.ts'
import { autoOrRange, choice, flag, integer, listType, text } from '../../src/config/units.ts'

/** The value, or the problem as `! …`. */
function read(type: z.ZodType, input: unknown): unknown {
  const result = type.safeParse(input)
  return result.success ? result.data : `! ${result.error.issues.map((issue) => issue.message).join(' | ')}`
}

const DURATIONS: [text: string, expected: unknown][] = [
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
  ['1h30m', 5_400_000],
  ['1h 30m', 5_400_000],
  ['2 s', 2000],
  ['0s', 0],
  ['1d2h3m4s5ms', 93_784_005],
  ['24d', 24 * 86_400_000],
  ['25d', '! "25d" is too long: at most 24d'],
  ['30x', '! "30x" is not a duration (such as 500ms, 30s, 5m)'],
  ['30', '! "30" is not a duration (such as 500ms, 30s, 5m)'],
  ['', '! "" is not a duration (such as 500ms, 30s, 5m)'],
  ['-1s', '! "-1s" is not a duration (such as 500ms, 30s, 5m)'],
  ['1.5h', '! "1.5h" is not a duration (such as 500ms, 30s, 5m)'],
  ['30m1h', '! "30m1h" is not a duration (such as 500ms, 30s, 5m)'],
]
for (const [input, expected] of DURATIONS) {
  test(`the duration "${input}" is ${expected}`, () => assert.equal(read(duration(0), input), expected))
}

const SIZES: [text: string, expected: unknown][] = [
  ['0', 0],
  ['512', 512],
  ['512B', 512],
  ['512KB', 524_288],
  ['10MB', 10_485_760],
  ['10 mb', 10_485_760],
  ['10M', 10_485_760],
  ['10MiB', 10_485_760],
  ['1GB', 1_073_741_824],
  ['1g', 1_073_741_824],
  ['2TB', 2_199_023_255_552],
  ['9999TB', '! "9999TB" is too large: at most 8191TB'],
  ['10k5', '! "10k5" is not a size (such as 512KB, 10MB, 1GB)'],
  ['1.5GB', '! "1.5GB" is not a size (such as 512KB, 10MB, 1GB)'],
  ['', '! "" is not a size (such as 512KB, 10MB, 1GB)'],
]
for (const [input, expected] of SIZES) {
  test(`the size "${input}" is ${expected}`, () => assert.equal(read(size, input), expected))
}

test('a duration or size that is written is read as the same', () => {
  fc.assert(
    fc.property(fc.nat({ max: 24 * 86_400_000 }), (ms) => assert.equal(read(duration(0), formatDuration(ms)), ms)),
  )
  fc.assert(fc.property(fc.nat({ max: 2 ** 43 }), (bytes) => assert.equal(read(size, formatSize(bytes)), bytes)))
})

test('a value can be written back by its own type', () => {
  assert.equal(z.encode(duration(0), 5_400_000), '1h30m')
  assert.equal(z.encode(size, 10_485_760), '10MB')
  assert.equal(z.encode(flag, true), 'yes')
  assert.equal(z.encode(autoOrRange(1, 9), 'auto'), 'auto')
})

test('yes and no have three words each', () => {
  for (const word of ['yes', 'true', 'on', 'Yes', 'ON']) assert.equal(read(flag, word), true)
  for (const word of ['no', 'false', 'off', 'NO']) assert.equal(read(flag, word), false)
  for (const word of ['', '1', '0', 'y', 'nope'])
    assert.equal(read(flag, word), `! "${word}" is neither yes nor no (yes, true or on; no, false or off)`)
})

test('a whole number is written in digits only, and within its bounds', () => {
  assert.equal(read(integer(1, 10), '7'), 7)
  assert.equal(read(integer(1, 10), '007'), 7)
  assert.equal(read(integer(1, 10), '11'), '! 11 is out of range: 1 to 10')
  for (const word of ['', '0x5', '1e1', '-1', '1.0', '1 2', '99999999999999999999'])
    assert.equal(read(integer(1, 10), word), `! "${word}" is not a whole number from 1 to 10`)
})

test('a range is one number, or two', () => {
  const type = autoOrRange(1, 9)

  assert.equal(read(type, 'auto'), 'auto')
  assert.deepEqual(read(type, '3'), { min: 3, max: 3 })
  assert.deepEqual(read(type, '2..8'), { min: 2, max: 8 })
  assert.deepEqual(read(type, '2 .. 8'), { min: 2, max: 8 })
  assert.equal(read(type, 'all'), '! "all" is not auto, a range such as 1..4, or a whole number from 1 to 9')
  assert.equal(read(type, '2..'), '! "2.." is not auto, a range such as 1..4, or a whole number from 1 to 9')
  assert.equal(read(type, '0..3'), '! "0..3": 0 is out of range: 1 to 9')
  assert.equal(read(type, '8..2'), '! "8..2" begins above its end: write 2..8')
  assert.equal(z.encode(type, { min: 1, max: 4 }), '1..4')
  assert.equal(z.encode(type, { min: 4, max: 4 }), '4')
})

test('a percentage is a number and a sign', () => {
  assert.equal(read(percent, '10%'), 0.1)
  assert.equal(read(percent, '12.5 %'), 0.125)
  assert.equal(read(percent, '100%'), 1)
  assert.equal(read(percent, '101%'), '! "101%" is too much: at most 100%')
  for (const word of ['', '10', '%', '-1%', '1e1%']) {
    assert.equal(read(percent, word), `! "${word}" is not a percentage (such as 10%)`)
  }
  assert.equal(z.encode(percent, 0.125), '12.5%')
})

test('a range or percentage that is written is read as the same', () => {
  const type = autoOrRange(1, 256)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 256 }), fc.integer({ min: 1, max: 256 }), (a, b) => {
      const range = { min: Math.min(a, b), max: Math.max(a, b) }
      assert.deepEqual(read(type, z.encode(type, range)), range)
    }),
  )
  fc.assert(
    fc.property(fc.nat({ max: 100_000 }), (thousandths) => {
      assert.ok(Math.abs(Number(read(percent, `${thousandths / 1000}%`)) - thousandths / 100_000) < 1e-12)
      assert.equal(z.encode(percent, thousandths / 100_000), `${thousandths / 1000}%`)
    }),
  )
})

test('whatever is written as a range is read or refused in words, and never upside down', () => {
  const numbers = fc.constantFrom('', '0', '1', '7', '9', '10', '-1', '1.5', 'x', '99999999999')
  fc.assert(
    fc.property(numbers, fc.constantFrom('..', '...', '-', ' .. ', ''), numbers, (low, between, high) => {
      const found = autoOrRange(1, 9).safeParse(`${low}${between}${high}`)
      if (!found.success) assert.ok(found.error.issues[0]?.message)
      else if (found.data !== 'auto')
        assert.ok(1 <= found.data.min && found.data.min <= found.data.max && found.data.max <= 9)
    }),
  )
})

test('a choice that is misspelt is told what was meant', () => {
  const type = choice(['module', 'static'])

  assert.equal(read(type, 'module'), 'module')
  assert.equal(read(type, 'modul'), '! "modul" is not one of module, static; did you mean module?')
  assert.equal(read(type, 'proxy'), '! "proxy" is not one of module, static')
})

test('a list is separated by commas and blanks, and tells each value that is wrong', () => {
  const type = listType(
    'letters',
    (word) => (/^[a-z]$/.test(word) ? { value: word } : { problem: `bad ${word}` }),
    String,
  )

  assert.deepEqual(read(type, ['a,b', ' c  d ', '', 'e,']), ['a', 'b', 'c', 'd', 'e'])
  assert.equal(read(type, ['a 1', '22']), '! bad 1 | bad 22')
})

test('a text has something in it', () => {
  assert.equal(read(text('path'), ' a b '), 'a b')
  assert.equal(read(text('path'), ''), '! is empty: write a path, or take the line away')
})
