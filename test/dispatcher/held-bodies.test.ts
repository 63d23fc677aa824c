/** Requests that wait for their body, over a real socket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { createServer } from '../../src/core/node-http.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import type { BodyVisit } from '../../src/dispatcher/held-bodies.ts'
import { HeldBodies } from '../../src/dispatcher/held-bodies.ts'
import { readAll } from '../helpers/static-server.ts'

/** Answers with what was held. @returns asks it with a body, and whether to send that */
async function serve(t: TestContext, mostBytes: number): Promise<(version: string) => Promise<string>> {
  const bodies = new HeldBodies()
  const take = ({ req, res }: Pick<BodyVisit, 'req' | 'res'>): void => {
    const onReady: BodyVisit['onReady'] = ({ bytes, isContinued }) => res.end(`${bytes} ${isContinued}`)
    bodies.take({ req, res, waitMs: 20_000, mostBytes, mayBeSlow: () => false, onReady })
  }
  const server = createServer({ ServerResponse: FrontResponse })
  for (const event of ['request', 'checkContinue']) server.on(event, (req, res) => take({ req, res }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return async (version) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const head = `POST / HTTP/${version}\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 4\r\n`
    socket.write(`${head}Expect: 100-continue\r\n\r\nbody`)
    return (await readAll(socket)).toString()
  }
}

test('only a client that knows the answer is told to go on with its body', async (t) => {
  const ask = await serve(t, 100_000)

  assert.match(await ask('1.1'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [\s\S]*\r\n\r\nbody true$/)
  assert.match(await ask('1.0'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nbody false$/)
})

test('a client is told to go on before its request does, which may be answered at once', async (t) => {
  const ask = await serve(t, 1)

  assert.match(await ask('1.1'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [\s\S]*\r\n\r\n true$/)
})
