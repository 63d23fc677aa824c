import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Channel } from '../../src/protocol/channel.ts'
import type { Frame } from '../../src/protocol/frames.ts'
import { LineBuffer, SiteLog } from '../../src/worker/site-log.ts'

function recording() {
  const frames: Frame[] = []
  const state = { flushes: 0, unsentBytes: 0 }
  const channel: Channel = {
    send: (frame) => frames.push(frame),
    flush: () => Boolean(++state.flushes),
    get unsentBytes() {
      return state.unsentBytes
    },
    destroy: () => {},
  }
  return { channel, frames, state }
}

test('a line leaves at once', () => {
  const { channel, frames, state } = recording()

  new SiteLog(channel, 7).write('out', 'hello')

  assert.deepEqual(frames, [{ type: 'log', id: 7, level: 'out', text: 'hello' }])
  assert.equal(state.flushes, 1)
})

test('lines beyond the backlog are dropped and counted', () => {
  const { channel, frames, state } = recording()
  const log = new SiteLog(channel, 7)
  state.unsentBytes = 2 * 1024 * 1024
  log.write('out', 'lost')
  log.write('out', 'lost too')
  state.unsentBytes = 0

  log.write('out', 'kept')

  assert.deepEqual(
    frames.map((frame) => frame.type === 'log' && frame.text),
    ['2 lines of this log were dropped: they came faster than they could be written', 'kept'],
  )
})

test('how many were dropped is told even when no line follows', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { channel, frames, state } = recording()
  state.unsentBytes = 2 * 1024 * 1024
  new SiteLog(channel, 7).write('out', 'lost')

  t.mock.timers.tick(500)
  assert.deepEqual(frames, [], 'still no room')
  state.unsentBytes = 0
  t.mock.timers.tick(500)

  assert.equal(frames.length, 1)
})

test('of a flood as much goes through as the site may write, and the rest is counted', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const [text, atOnce, perSecond] of [
    ['short', 10_000, 2_000],
    ['x'.repeat(8 * 1024), 1024, 256],
  ] as const) {
    const { channel, frames } = recording()
    const log = new SiteLog(channel, 7)
    const begun = performance.now()

    for (let line = 0; line < 50_000; line++) log.write('out', text)
    const seconds = (performance.now() - begun) / 1_000
    const kept = frames.filter((frame) => frame.type === 'log' && frame.text === text).length

    assert.ok(kept >= atOnce && kept <= atOnce + seconds * perSecond + 1, `${kept} in ${seconds} s`)
    const deadline = performance.now() + 5_000
    const told = (): number =>
      frames.reduce(
        (sum, frame) => sum + (frame.type === 'log' && frame.text !== text ? Number.parseInt(frame.text, 10) : 0),
        0,
      )
    while (told() + kept < 50_000 && performance.now() < deadline) t.mock.timers.tick(500)
    assert.equal(told() + kept, 50_000)
    t.mock.timers.reset()
    t.mock.timers.enable({ apis: ['setTimeout'] })
  }
})

test('a very long text is cut', () => {
  const { channel, frames } = recording()

  new SiteLog(channel, 7).write('out', 'x'.repeat(1024 * 1024))

  const [frame] = frames
  assert.ok(frame?.type === 'log' && frame.text.length < 300_000 && frame.text.endsWith('1048576 characters]'))
})

test('what is written becomes lines', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const texts: string[] = []
  const lines = new LineBuffer((level, text) => texts.push(`${level} ${text}`))

  lines.write('out', 'one\n')
  lines.write('err', 'two\nthree\n')
  lines.write('out', 'fo')
  lines.write('out', 'ur\nfi')
  lines.write('out', 've')
  assert.deepEqual(texts, ['out one', 'err two\nthree', 'out four'])
  t.mock.timers.tick(200)

  assert.deepEqual(texts.slice(3), ['out five'])
})

test('what follows the last line feed is given on too, though nothing comes behind it', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const texts: string[] = []
  const lines = new LineBuffer((_, text) => texts.push(text))

  lines.write('out', 'a line\na prompt: ')
  t.mock.timers.tick(200)
  lines.write('out', `\n${'x'.repeat(100_000)}`)

  assert.deepEqual(texts, ['a line', 'a prompt: ', '', 'x'.repeat(100_000)])
})

test('a part that has just come waits as long as any, whenever the one before it was completed', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const texts: string[] = []
  const lines = new LineBuffer((_, text) => texts.push(text))

  lines.write('out', 'on')
  t.mock.timers.tick(150)
  lines.write('out', 'e\ntw')
  t.mock.timers.tick(100)
  lines.write('out', 'o\n')

  assert.deepEqual(texts, ['one', 'two'])
})
