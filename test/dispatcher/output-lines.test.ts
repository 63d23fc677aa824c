/** What a program prints, read from real programs. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { LineRate, readLines } from '../../src/dispatcher/command/output-lines.ts'

test('a program that prints more than 4 MB in a second is read on in the next, to its end', async () => {
  const lines: string[] = []
  const script = 'head -c 9M /dev/zero | tr "\\0" x; echo; echo last'
  const { stdout } = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  const began = performance.now()

  readLines(stdout, new LineRate(() => {}), (line) => lines.push(line))
  await once(stdout, 'end')

  const tookMs = performance.now() - began
  assert.ok(tookMs > 1_900, `${tookMs} ms`)
  assert.deepEqual([lines.length, lines[0]?.length, lines[1]], [2, 8_192, 'last'])
})
