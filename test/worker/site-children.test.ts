/** What programs that a site starts write to the descriptors that they inherit. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

async function starts(t: { after(end: () => unknown): void }, start: string): Promise<number> {
  const folder = writeSite(t, {
    'main.cjs': `const { fork, spawn } = require('node:child_process')
      module.exports = (req, res) => {
        const child = ${start}
        const streams = [child.stdout, child.stderr, ...child.stdio.slice(1, 3)].map((it) => it === null)
        child.on('close', (code) => res.end(JSON.stringify([code, ...streams])))
      }`,
    'forked.cjs': "console.log('out é forked'); console.error('err forked'); process.stdout.write('without an end')",
  })
  await thread.loadWell({ generation: ++generation, module: join(folder, 'main.cjs'), root: folder })
  return generation
}

const sayer = (name: string, stdio: string): string =>
  `spawn(process.execPath, ['-e', "console.log('out é ${name}'); console.error('err ${name}')"], { stdio: ${stdio} })`

const inherited: Record<string, string> = {
  inherit: sayer('inherit', "'inherit'"),
  numbers: sayer('numbers', "['ignore', 1, 2]"),
  streams: sayer('streams', "['ignore', process.stdout, process.stderr]"),
  forked: "fork('./forked.cjs')",
}

for (const [name, start] of Object.entries(inherited)) {
  test(`the output that a program inherits goes to the log of its site: ${name}`, async (t) => {
    const of = await starts(t, start)

    assert.deepEqual((await thread.get(of)).json, [0, true, true, true, true])
    assert.equal((await thread.log(of, new RegExp(`^out é ${name}`))).level, 'out')
    assert.equal((await thread.log(of, new RegExp(`^err ${name}$`))).level, 'err')
    if (name === 'forked') assert.equal((await thread.log(of, /^without an end$/)).level, 'out')
  })
}

test('errors may go where the output goes, and pipes of the site stay its own', async (t) => {
  const both = await starts(t, sayer('both', "['ignore', 1, 1]"))
  const mixed = await starts(t, sayer('mixed', "['ignore', 'pipe', 'inherit']"))

  await thread.get(both)
  assert.deepEqual((await thread.get(mixed)).json, [0, false, true, false, true])
  assert.equal((await thread.log(both, /^err both$/)).level, 'out')
  assert.equal((await thread.log(mixed, /^err mixed$/)).level, 'err')
  assert.deepEqual(
    thread.logs.filter((line) => line.text.startsWith('out é mixed')),
    [],
  )
})

test('a program that cannot be started says so as ever', async (t) => {
  const of = await starts(
    t,
    `spawn('./not-there', { stdio: 'inherit' }).on('error', (error) => res.end(JSON.stringify(error.code)))
       .on('close', () => {}).removeAllListeners('close')`,
  )

  assert.equal((await thread.get(of)).json, 'ENOENT')
})
