import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AccessEntry } from '../../src/dispatcher/access-format.ts'
import { AccessRecord } from '../../src/dispatcher/access-record.ts'
import type { AnswerHead } from '../../src/dispatcher/front-response.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'

function certificate(dir: string): { key: Buffer; cert: Buffer } {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  const subject = ['-subj', '/CN=a.test', '-days', '2']
  const options = [
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    key,
    '-out',
    cert,
  ]
  execFileSync('openssl', ['req', ...options, ...subject], { stdio: 'ignore' })
  return { key: readFileSync(key), cert: readFileSync(cert) }
}

test('what is known of a request over TLS, after the filters of its answer', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'vh-record-'))
  const entries: AccessEntry[] = []
  const options = { ...certificate(dir), ServerResponse: FrontResponse<IncomingMessage> }
  const server = createServer(options, (req, res) => {
    const front = res as FrontResponse
    front.access = new AccessRecord(req, front, undefined)
    front.access.sinks.push({ write: (entry) => entries.push(entry) })
    front.addFilter({
      onHead(head: AnswerHead) {
        head.headers.push('Cache-Status', 'test; fwd=miss')
        return (next) => ({ write: () => next.write(Buffer.from('short')), end: () => next.end() })
      },
    })
    front.writeHead(201, { 'content-type': 'text/plain', 'cache-status': 'upstream; hit' })
    front.end('a longer text than that')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.after(() => {
    server.close()
    rmSync(dir, { recursive: true })
  })

  const asking = request({ host: '127.0.0.1', port, path: '/x', rejectUnauthorized: false, agent: false }).end()
  const [reply] = (await once(asking, 'response')) as [IncomingMessage]
  reply.resume()
  await once(reply, 'end')
  const deadline = performance.now() + 10_000
  while (entries.length === 0 && performance.now() < deadline) await new Promise((resolve) => setImmediate(resolve))

  const [entry] = entries
  assert.equal(entries.length, 1)
  assert.deepEqual(
    [entry?.status, entry?.bytes, entry?.cache, entry?.tls, entry?.port, entry?.client, entry?.isCut],
    [201, 5, 'test; fwd=miss', 'TLSv1.3', port, '127.0.0.1', false],
  )
})
