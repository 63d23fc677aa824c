import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { CertificateStatus } from '../../src/core/certificate-status.ts'
import { makePair } from '../helpers/certificates.ts'
import type { Issuing } from './issuing.ts'
import { Place, startIssuing } from './issuing.ts'

const HOUR = 3_600_000
const URN = 'urn:ietf:params:acme:error:'

type Answer = (req: IncomingMessage, res: ServerResponse, base: string) => void

/** A server that is as bad as the test says, at `https://localhost:port`. */
async function startServer(t: TestContext, answer: Answer): Promise<{ base: string; caFile: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'vhostel-hostile-'))
  const pair = makePair(['localhost'])
  const caFile = join(dir, 'ca.pem')
  writeFileSync(caFile, pair.cert)
  const server = createServer(pair, (req, res) => answer(req, res, base)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `https://localhost:${(server.address() as AddressInfo).port}`
  t.after(() => {
    server.closeAllConnections()
    server.close()
    rmSync(dir, { recursive: true })
  })
  return { base, caFile }
}

/** A manager that asks this server for one certificate. */
async function ask(t: TestContext, path: string, answer: Answer, isTrusted = true): Promise<Issuing> {
  const { base, caFile } = await startServer(t, answer)
  const place = await Place.start(t)
  const issuing = startIssuing(t, { directory: base + path, caFile: isTrusted ? caFile : undefined, place })
  await issuing.want({ a: ['a.test'] })
  return issuing
}

async function outage(issuing: Issuing): Promise<CertificateStatus> {
  return issuing.until('a', ({ reasons }) => reasons.length > 0)
}

/** As a good server, as far as the order; it believes everybody. */
const obliging =
  (newOrder: Answer): Answer =>
  (req, res, base) => {
    res.setHeader('replay-nonce', 'bm9uY2U')
    const json = (status: number, body: object, headers: Record<string, string> = {}): void => {
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    }
    if (req.url === '/dir') {
      return json(200, { newNonce: `${base}/nonce`, newAccount: `${base}/account`, newOrder: `${base}/order` })
    }
    if (req.url === '/nonce') return void res.writeHead(200).end()
    if (req.url === '/account') return json(201, { status: 'valid' }, { location: `${base}/account/1` })
    newOrder(req, res, base)
  }

test('whatever stands where the directory should be, it is told, and the next look waits', async (t) => {
  const answers: Record<string, Answer> = {
    '/html': (_req, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<html>hello</html>'),
    '/null': (_req, res) => res.writeHead(200, { 'content-type': 'application/json' }).end('null'),
    '/moved': (_req, res, base) => res.writeHead(302, { location: `${base}/html` }).end(),
    '/missing': (_req, res) => res.writeHead(404).end('no such page'),
    '/huge': (_req, res) => res.writeHead(200).end(Buffer.alloc(3 * 1024 ** 2, 'x')),
    '/cut': (_req, res) => {
      res.writeHead(200, { 'content-length': 1000 }).write('{')
      setTimeout(() => res.destroy(), 20)
    },
  }
  const told = Object.entries(answers).map(async ([path, answer]) => {
    const status = await outage(await ask(t, path, answer))
    assert.match(status.reasons[0] ?? '', path === '/missing' || path === '/moved' ? /status (404|302)/ : /^https:/)
    return `${path} ${status.state} ${status.failures} ${status.nextTryAt > Date.now() + 50_000}`
  })

  assert.deepEqual(
    await Promise.all(told),
    Object.keys(answers).map((path) => `${path} waiting 0 true`),
  )
})

test('a server that is not trusted gets nothing', async (t) => {
  const asked: string[] = []
  const issuing = await ask(t, '/dir', (req) => void asked.push(String(req.url)), false)

  const status = await outage(issuing)

  assert.match(status.reasons[0] ?? '', /self-signed certificate/)
  assert.deepEqual(asked, [])
})

test('a server that is overloaded is left alone for as long as it says', async (t) => {
  const issuing = await ask(t, '/dir', (_req, res) => res.writeHead(503, { 'retry-after': '7200' }).end())

  const status = await outage(issuing)

  assert.ok(status.nextTryAt > Date.now() + 1.9 * HOUR && status.nextTryAt < Date.now() + 2.1 * HOUR)
})

test('a limit of one site is its own, a limit that all run into stops all', async (t) => {
  const orders: string[] = []
  const limited = obliging((req, res) => {
    orders.push(String(req.url))
    const detail = `too many certificates already issued\u001b[31m for this`
    res.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '7200' })
    res.end(JSON.stringify({ type: `${URN}rateLimited`, detail }))
  })
  const issuing = await ask(t, '/dir', limited)

  const one = await issuing.until('a', ({ failures }) => failures === 1)
  const names = ['b', 'c', ...Array.from({ length: 30 }, (_, index) => `d${index}`)]
  await issuing.want({ a: ['a.test'], ...Object.fromEntries(names.map((name) => [name, [`${name}.test`]])) })
  await issuing.until('d29', ({ reasons }) => reasons.length > 0)
  const last = issuing.status('d29')

  assert.deepEqual(one.reasons, ['too many certificates already issued [31m for this (rateLimited)'])
  assert.ok(one.nextTryAt > Date.now() + 1.9 * HOUR)
  assert.ok(last.nextTryAt > Date.now() + 1.9 * HOUR)
  assert.deepEqual([last.failures, last.reasons], [0, ['the ACME server says to every order that there were too many']])
  assert.ok(orders.length <= 12, String(orders.length))
})

test('an account that is not wanted is told once for all, with the reason', async (t) => {
  const refusing: Answer = (req, res, base) => {
    if (req.url !== '/account') return obliging(() => {})(req, res, base)
    const problem = { type: `${URN}externalAccountRequired`, detail: 'you need a contract' }
    res.writeHead(403, { 'replay-nonce': 'x', 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
  }
  const issuing = await ask(t, '/dir', refusing)

  const status = await outage(issuing)

  assert.deepEqual(status.reasons, [
    'the account: you need a contract (externalAccountRequired): get a key for external account binding there, and write it to [acme] eab_kid and eab_hmac_key',
  ])
  assert.equal(status.failures, 0)
})

test('a crash while a certificate is asked for counts as a failure, so that crashes are no loop', async (t) => {
  let isAsked = (): void => {}
  const asked = new Promise<void>((resolve) => {
    isAsked = resolve
  })
  const issuing = await ask(t, '/dir', () => isAsked())
  await asked
  const { place, state } = issuing
  // The first one is still there, but as far as the disk knows it is gone.
  const next = startIssuing(t, { directory: issuing.directory, caFile: undefined, place, state })
  await next.want({ a: ['a.test'] })

  const status = next.status('a')

  assert.deepEqual([status.failures, status.reasons], [1, ['vhostel ended while it asked']])
  assert.ok(status.nextTryAt > Date.now() + 50_000)
})

test('a server that never answers does not keep vhostel from stopping, and that is no failure', async (t) => {
  let isAsked = (): void => {}
  const asked = new Promise<void>((resolve) => {
    isAsked = resolve
  })
  const issuing = await ask(t, '/dir', () => isAsked())
  await asked
  const startedAt = performance.now()

  await issuing.manager.close()

  assert.ok(performance.now() - startedAt < 5000)
  assert.equal(issuing.status('a').failures, 0)
  assert.deepEqual(issuing.lines, [])
})

test('a clock that is set back while a server is asked puts nothing off', async (t) => {
  const asked = Promise.withResolvers<void>()
  const setBack = Promise.withResolvers<void>()
  const { base, caFile } = await startServer(t, (_req, res) => {
    asked.resolve()
    setBack.promise.then(() => res.writeHead(503).end(), assert.fail)
  })
  const issuing = startIssuing(t, { directory: `${base}/dir`, caFile, place: await Place.start(t) })
  await issuing.forward(60 * 24 * HOUR)
  await issuing.want({ a: ['a.test'] })
  await asked.promise
  await issuing.forward(-60 * 24 * HOUR)
  setBack.resolve()

  const { nextTryAt } = await outage(issuing)

  assert.ok(nextTryAt < issuing.now + HOUR, String(nextTryAt - issuing.now))
})
