/** Upstreams by name while the name server gives no answer: what they cost each other. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'

/** Of this machine and this test alone. */
const NAME_SERVER = `127.83.${(process.pid >> 8) & 255}.${process.pid & 255}`
/** Sooner than `[proxy] connect_timeout`. */
const SOON_MS = 4_000
const needsRoot = {
  skip: process.getuid?.() === 0 ? false : 'needs root, to give the server an /etc/resolv.conf of its own',
}

/** @returns the names that it was asked for */
async function startSilentNameServer(t: TestContext): Promise<Set<string>> {
  const asked = new Set<string>()
  const server = createSocket('udp4').on('message', (question) => {
    // Behind the head of twelve bytes: labels, each with its length before it.
    asked.add(question.toString('latin1', 13, 13 + (question[12] ?? 0)))
  })
  server.bind(53, NAME_SERVER)
  await once(server, 'listening')
  t.after(() => server.close())
  return asked
}

/** Words before a command that see only this name server. */
function withNameServer(t: TestContext): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'vh-names-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'resolv.conf')
  writeFileSync(file, `nameserver ${NAME_SERVER}\n`)
  return ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file]
}

test('names that nobody answers for keep no upstream waiting that was found before', needsRoot, async (t) => {
  const asked = await startSilentNameServer(t)
  const upstream = createServer((_req, res) => res.writeHead(200, { connection: 'close' }).end('from localhost'))
  await once(upstream.listen(0, 'localhost'), 'listening')
  t.after(() => upstream.close())
  const { port } = upstream.address() as AddressInfo
  const silent = ['one', 'two', 'three', 'four']
  const sites = Object.fromEntries(
    [...silent.map((name) => [name, `http://${name}.example.test`]), ['here', `http://localhost:${port}`]].map(
      ([name, place]) => [name, { ini: `[site]\ndomains = ${name}.test\nupstream = ${place}\n` }],
    ),
  )
  const box = await startBox(t, sites, { under: withNameServer(t), config: '[pool]\nprocesses = 1\nthreads = 1' })

  const lost = Promise.all(silent.map((name) => box.ask(name)))
  await box.waitFor('two names to be asked for', () => asked.size >= 2)
  const begun = performance.now()
  const reply = await box.ask('here')
  const tookMs = performance.now() - begun

  assert.equal(reply.text, 'from localhost')
  assert.ok(tookMs < SOON_MS, `${tookMs} ms`)
  assert.deepEqual(new Set((await lost).map(({ status }) => status)), new Set([504]))
})
