/** The body of a request on its way to an upstream, over a real socket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createServer } from '../../src/core/node-http.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import { RequestBody } from '../../src/dispatcher/proxy/request-body.ts'
import { readAll } from '../helpers/static-server.ts'

const NOTHING = { bytes: Buffer.alloc(0), isWhole: false, isSlow: false, isContinued: false }

test('only a client that knows the answer is told to go on with a body that was not held', async (t) => {
  const server = createServer({ ServerResponse: FrontResponse })
  for (const event of ['request', 'checkContinue']) {
    server.on(event, (req, res) => {
      const body = new RequestBody(req, res, NOTHING, 1000, () => {})
      body.on('end', () => res.end('taken')).resume()
    })
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const ask = async (version: string): Promise<string> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const head = `POST / HTTP/${version}\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 4\r\n`
    socket.write(`${head}Expect: 100-continue\r\n\r\nbody`)
    return (await readAll(socket)).toString()
  }

  assert.match(await ask('1.1'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [\s\S]*taken/)
  assert.match(await ask('1.0'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\ntaken$/)
})
