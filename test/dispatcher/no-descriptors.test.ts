import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'

const SOURCE = new URL('../../src/dispatcher/command/', import.meta.url).href

/** Takes every descriptor, tries to start a program and its watcher, lets go of them, and waits for the watcher. */
const SCRIPT = `
import { closeSync, openSync } from 'node:fs'
const { GroupWatch } = await import('${SOURCE}group-watch.ts')
const { Program } = await import('${SOURCE}program.ts')
const said = []
const watch = new GroupWatch({ warn: ({ why }) => said.push(why) })
const taken = []
try {
  for (;;) taken.push(openSync('/dev/null'))
} catch {}
watch.open()
const place = { env: { PORT: '1' }, upstream: { kind: 'tcp', host: '127.0.0.1', port: 1 }, dispose() {} }
const order = { command: { words: [['sleep'], ['60']], place: 'PORT' }, cwd: '/', env: {}, identity: undefined }
const program = new Program(order, place, watch, () => {})
const ended = await program.ended
for (const one of taken) closeSync(one)
console.log(JSON.stringify({ said, ended }))
watch.close()
`

test('a program that cannot be started, and its watcher, are no end of the server when no descriptor is left', () => {
  const run = spawnSync('sh', ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, '--input-type=module'], {
    input: SCRIPT,
    encoding: 'utf8',
    timeout: 20_000,
  })

  assert.equal(run.status, 0, run.stderr)
  const { said, ended } = JSON.parse(run.stdout) as { said: string[]; ended: string }
  assert.match(said.join(), /^spawn \/bin\/sh EMFILE: no file descriptor is left; raise LimitNOFILE/)
  assert.match(ended, /EMFILE: no file descriptor is left/)
})
