import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Histogram, mergePacked, unpack } from '../../src/advice/histogram.ts'

const MAX_MS = 0xffffffff / 1000
const durations = fc.array(
  fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: MAX_MS, noNaN: true })),
  { minLength: 1, maxLength: 300 },
)

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

test('a quantile is at most an eighth, or a microsecond, away from a value that has this rank', () => {
  fc.assert(
    fc.property(durations, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
      const sorted = values.toSorted((a, b) => a - b)
      const exact = sorted[Math.min(Math.max(Math.ceil(q * values.length) - 1, 0), values.length - 1)] as number

      const found = histogramOf(values).quantile(q)

      assert.ok(Math.abs(found - exact) <= exact / 8 + 0.001, `${found} instead of ${exact}`)
    }),
  )
})

test('quantiles do not fall as q grows, and end at the largest value', () => {
  fc.assert(
    fc.property(durations, (values) => {
      const histogram = histogramOf(values)
      const found = [0, 0.1, 0.5, 0.9, 0.99, 1].map((q) => histogram.quantile(q))

      assert.deepEqual(
        found.toSorted((a, b) => a - b),
        found,
      )
      assert.ok((found.at(-1) as number) <= Math.max(...values))
    }),
  )
})

test('the share below a duration is right, but for values less than an eighth away from it', () => {
  fc.assert(
    fc.property(durations, fc.nat({ max: 299 }), (values, index) => {
      const ms = values[index % values.length] as number
      const exact = (limitMs: number): number => values.filter((value) => value < limitMs).length / values.length

      const found = histogramOf(values).shareBelow(ms)

      assert.ok(found >= exact(ms / 1.126 - 0.001) - 1e-9, `${found} is too little`)
      assert.ok(found <= exact(ms * 1.126 + 0.001) + 1e-9, `${found} is too much`)
    }),
  )
})

test('merged histograms are the histogram of all values', () => {
  fc.assert(
    fc.property(fc.array(durations, { maxLength: 4 }), (lists) => {
      const whole = histogramOf(lists.flat()).pack()

      const merged = mergePacked(lists.map((values) => histogramOf(values).pack()))

      assert.deepEqual(merged.buckets, whole.buckets)
      assert.deepEqual([merged.count, merged.maxMs], [whole.count, whole.maxMs])
      assert.ok(Math.abs(merged.sumMs - whole.sumMs) <= 1e-9 * whole.sumMs)
    }),
  )
})

test('packing, through JSON, loses nothing', () => {
  fc.assert(
    fc.property(durations, (values) => {
      const packed = histogramOf(values).pack()

      const again = unpack(JSON.parse(JSON.stringify(packed)))

      assert.deepEqual(again.pack(), packed)
    }),
  )
})

test('a weight counts as so many values', () => {
  const weighted = new Histogram()
  weighted.record(3, 5)
  weighted.record(7, 0.5)

  assert.deepEqual([weighted.count, weighted.sumMs, weighted.maxMs], [5.5, 18.5, 7])
})

test('what is no duration counts as none, and what is too long as the longest', () => {
  const odd = histogramOf([Number.NaN, -1, -0, 0])
  const long = histogramOf([Number.MAX_VALUE, 1e9])

  assert.deepEqual([odd.count, odd.sumMs, odd.quantile(1)], [4, 0, 0])
  assert.ok(long.quantile(0.5) <= 4_294_968)
  assert.equal(new Histogram().quantile(0.99), 0)
})

test('a cleared histogram is an empty one', () => {
  const histogram = histogramOf([1, 2, 3])

  histogram.clear()

  assert.deepEqual(histogram.pack(), new Histogram().pack())
})
