/** The agents of `http` and `https` that each site of a thread has to itself. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { startThread } from '../helpers/thread-driver.ts'

type Context = Parameters<typeof writeSite>[0]

async function site(t: Context, thread: DrivenThread, generation: number, text: string): Promise<void> {
  const module = join(writeSite(t, { 'main.mjs': text }), 'main.mjs')
  await thread.loadWell({ generation, module })
}

/** What a site finds of both agents, by each of their names. */
const SEEN = `import http, { globalAgent } from 'node:http'
  import https, { globalAgent as secure } from 'node:https'
  const seen = () => [http.globalAgent.maxSockets === 7, globalAgent.maxSockets === 7, https.globalAgent.options.rejectUnauthorized,
    secure.options.rejectUnauthorized, https.globalAgent.options.key, https.globalAgent instanceof https.Agent].map(String).join()`
const UNTOUCHED = 'false,false,undefined,undefined,undefined,true'

test('what a site changes of an agent is for its own requests', async (t) => {
  const thread = await startThread(t)
  await site(t, thread, 1, `${SEEN}\nexport default (req, res) => res.end(seen())`)
  await site(
    t,
    thread,
    2,
    `${SEEN}
     http.globalAgent.maxSockets = 7
     https.globalAgent.options.rejectUnauthorized = false
     https.globalAgent.options.key = 'secret'
     export default (req, res) => res.end(seen())`,
  )
  await site(
    t,
    thread,
    3,
    `${SEEN}
     https.globalAgent = new https.Agent({ rejectUnauthorized: false })
     globalAgent.maxSockets = 7
     export default (req, res) => res.end(seen())`,
  )

  const answers = [await thread.get(1), await thread.get(2), await thread.get(3)].map(({ text }) => text)

  assert.deepEqual(answers, [UNTOUCHED, 'true,true,false,false,secret,true', 'true,true,false,false,undefined,true'])
  assert.deepEqual(thread.offences, [])
})

test('each site has connections of its own, and uses them again', async (t) => {
  const ports: (number | undefined)[] = []
  const server = createServer((req, res) => {
    ports.push(req.socket.remotePort)
    res.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  const thread = await startThread(t)
  const text = `import http from 'node:http'
    export default (req, res) => http.get('http://127.0.0.1:${port}', (answer) => answer.resume().on('close', () => setImmediate(() => res.end())))`
  for (const generation of [1, 2]) await site(t, thread, generation, text)

  for (const generation of [1, 2, 1, 2]) await thread.get(generation)

  assert.equal(ports.length, 4)
  assert.equal(new Set(ports).size, 2)
  assert.deepEqual([ports[0], ports[1]], [ports[2], ports[3]])
})
