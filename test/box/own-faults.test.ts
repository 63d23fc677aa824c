/** Faults of the server's own code, thrown where nothing catches them, in a server that is at work. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { makeBox } from '../helpers/box.ts'

/** Runs in the server's own process before its code: each signal is an error there that nobody expects. */
const FAULTS = `if (process.argv.includes('serve')) {
  process.on('SIGWINCH', () => { throw new Error('thrown in a callback') })
  process.on('SIGIO', () => void Promise.reject(new Error('rejected and not heard')))
}
`
const APP = `import { createServer } from 'node:http'
let finish
createServer((request, response) => {
  if (request.url === '/begin') finish = () => response.end('finished')
  else if (request.url === '/finish') { finish(); response.end() }
  else response.end('hello')
}).listen(3000)
`

async function startFaulty(t: TestContext): Promise<Box> {
  const box = makeBox(t, { app: { files: { 'app.mjs': APP } } })
  box.write('faults.mjs', FAULTS)
  await box.start({ NODE_OPTIONS: `--import ${join(box.dir, 'faults.mjs')}` })
  return box
}

function linesOf(box: Box, text: string): number {
  return box.output.split('\n').filter((line) => line.includes(text)).length
}

test('a fault of the server itself is logged, and costs no site and no open request anything', async (t) => {
  const box = await startFaulty(t)
  assert.equal((await box.ask('app')).text, 'hello')
  const begun = box.ask('app', '/begin')
  await box.waitFor('the request to be in its thread', async () => (await box.site('app'))?.inFlight === 1)

  process.kill(box.pid, 'SIGWINCH')
  await box.waitFor('the first to be logged', () => linesOf(box, 'thrown in a callback') === 1)
  process.kill(box.pid, 'SIGIO')
  await box.waitFor('the second to be logged', () => linesOf(box, 'rejected and not heard') === 1)

  assert.match(box.output, /"msg":"a fault of vhostel itself, please report it; the sites are served on"/)
  assert.match(box.output, /faults\.mjs:2:/)
  assert.equal((await box.ask('app', '/finish')).status, 200)
  assert.equal((await begun).text, 'finished')
  assert.equal(await box.stop(), 0)
})

test('a server that fails again and again ends, for another to be started', async (t) => {
  const box = await startFaulty(t)
  for (let fault = 1; fault < 10; fault++) {
    process.kill(box.pid, 'SIGWINCH')
    await box.waitFor(`fault ${fault} to be logged`, () => linesOf(box, 'thrown in a callback') === fault)
    assert.equal((await box.ask('app')).text, 'hello')
  }

  process.kill(box.pid, 'SIGWINCH')
  await box.waitFor('the server to end', () => box.output.includes('10 faults of its own within a minute'))

  assert.equal(await box.stop(), 1)
})
