/** TLS before the pool: real sockets, certificates that openssl made. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:http'
import { connect as connectStreams } from 'node:http2'
import type { RequestOptions } from 'node:https'
import { request } from 'node:https'
import { connect as openSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { connect } from 'node:tls'
import { clientOf } from '../../src/dispatcher/connection.ts'
import type { Answerer } from '../../src/dispatcher/visit.ts'
import { makePair } from '../helpers/certificates.ts'
import { startFront } from '../helpers/tls-front.ts'

const ONE = makePair(['one.test', 'www.one.test'])
const TWO = makePair(['two.test'])
const WIDE = makePair(['wide.test', '*.wide.test', 'two.test'])

/** A handshake. @throws what the client is told */
async function shake(t: TestContext, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  socket.on('error', () => {}) // that the front is closed at the end of the test
  return socket
}

function refused(code: string): (error: NodeJS.ErrnoException) => boolean {
  return (error) => {
    assert.equal(error.code, code)
    return true
  }
}

async function ask(port: number, servername: string, options: RequestOptions = {}): Promise<[number, string]> {
  const all = { port, host: '127.0.0.1', servername, rejectUnauthorized: false, agent: false, ...options }
  const req = request({ ...all, headers: { host: servername, ...(options.headers as Record<string, string>) } })
  req.end()
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  const text = (await res.setEncoding('utf8').toArray()).join('')
  return [res.statusCode ?? 0, text]
}

test('each site has its own certificate, found as its host is', async (t) => {
  const { securePort } = await startFront(t, {
    one: { domains: 'one.test', certificate: ONE },
    wide: { domains: '*.wide.test', certificate: WIDE },
  })
  const subjectOf = async (servername: string) =>
    (await shake(t, securePort, { servername })).getPeerCertificate().subject.CN

  assert.equal(await subjectOf('one.test'), 'one.test')
  assert.equal(await subjectOf('ONE.test'), 'one.test')
  assert.equal(await subjectOf('any.wide.test'), 'wide.test')
  assert.deepEqual(await ask(securePort, 'one.test'), [200, 'one'])
  assert.deepEqual(await ask(securePort, 'any.wide.test'), [200, 'wide'])
})

test('a name that is not known, or whose site has no certificate, or none at all: the handshake is refused', async (t) => {
  const { securePort, use } = await startFront(t, {
    one: { domains: 'one.test', certificate: ONE },
    plain: { domains: 'plain.test' },
  })

  for (const servername of ['other.test', 'plain.test', 'a_b', `${'x'.repeat(250)}.test`]) {
    await assert.rejects(shake(t, securePort, { servername }), refused('ERR_SSL_TLSV1_UNRECOGNIZED_NAME'), servername)
  }
  // Also where the default site has one, which is not theirs.
  use({ one: { domains: 'one.test', certificate: ONE }, plain: { domains: 'plain.test' } }, 'one')
  await assert.rejects(shake(t, securePort, { servername: 'plain.test' }), refused('ERR_SSL_TLSV1_UNRECOGNIZED_NAME'))
  assert.deepEqual(await ask(securePort, 'one.test'), [200, 'one'])
  use({ one: { domains: 'one.test', certificate: ONE } })
  await assert.rejects(shake(t, securePort), refused('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'))
  assert.deepEqual(await ask(securePort, 'one.test'), [200, 'one'])
})

test('the default site answers for names that nobody has, and for none, with the certificate that it has now', async (t) => {
  const { securePort, use } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } }, 'one')
  const subjectOf = async (options: ConnectionOptions) =>
    (await shake(t, securePort, options)).getPeerCertificate().subject.CN

  assert.equal(await subjectOf({ servername: 'other.test' }), 'one.test')
  assert.equal(await subjectOf({}), 'one.test')
  assert.deepEqual(await ask(securePort, '', { headers: { host: '127.0.0.1' } }), [200, 'one'])

  use({ two: { domains: 'two.test', certificate: TWO }, one: { domains: 'one.test', certificate: ONE } }, 'two')

  assert.equal(await subjectOf({}), 'two.test')
})

test('a host that the connection was not made for gets 421, unless its certificate names it', async (t) => {
  const { securePort, port } = await startFront(t, {
    one: { domains: 'one.test www.one.test', certificate: ONE },
    two: { domains: 'two.test', certificate: TWO },
    wide: { domains: 'wide.test', certificate: WIDE },
    plain: { domains: 'plain.wide.test' },
  })
  const asked = async (servername: string, host: string) =>
    (await ask(securePort, servername, { headers: { host } }))[0]

  assert.equal(await asked('one.test', 'www.one.test'), 200)
  assert.equal(await asked('one.test', 'two.test'), 421)
  assert.equal(await asked('wide.test', 'two.test'), 200)
  // It is named by the certificate, but is not answered over TLS.
  assert.equal(await asked('wide.test', 'plain.wide.test'), 421)
  assert.equal(await asked('one.test', 'nobody.test'), 421)
  const [res] = (await once(get({ port, host: '127.0.0.1', headers: { host: 'two.test' } }), 'response')) as [
    IncomingMessage,
  ]
  assert.equal(res.resume().statusCode, 200)
})

test('TLS 1.2 and 1.3 are spoken, nothing older, and no cipher without forward secrecy', async (t) => {
  const { securePort } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } })
  const servername = 'one.test'
  const spoken = async (options: ConnectionOptions) =>
    (await shake(t, securePort, { servername, ...options })).getProtocol()

  assert.equal(await spoken({}), 'TLSv1.3')
  assert.equal(await spoken({ maxVersion: 'TLSv1.2' }), 'TLSv1.2')
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await assert.rejects(spoken(old), refused('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'))
  const weak = { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA256:ECDHE-ECDSA-AES128-SHA256' } as const
  await assert.rejects(spoken(weak), refused('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'))
})

/** Connects, and waits for a session that can be taken up again. */
async function sessionOf(t: TestContext, port: number, options: ConnectionOptions): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'one.test', ...options })
  t.after(() => socket.destroy())
  const [session] = (await once(socket, 'session')) as [Buffer]
  return session
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a session of ${maxVersion} is taken up again, also when the certificate has changed`, async (t) => {
    const { securePort, use } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } })
    const session = await sessionOf(t, securePort, { maxVersion })

    const again = await shake(t, securePort, { servername: 'one.test', maxVersion, session })
    use({ one: { domains: 'one.test', certificate: makePair(['one.test']) } })
    const renewed = await shake(t, securePort, { servername: 'one.test', maxVersion, session })

    assert.equal(again.isSessionReused(), true)
    assert.equal(renewed.isSessionReused(), true)
    const resumed = { maxVersion, session }
    assert.deepEqual(await ask(securePort, 'one.test', resumed), [200, 'one'])
  })
}

test('a new certificate serves from the next handshake on; connections that are there go on', async (t) => {
  const { securePort, use } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } })
  const before = await shake(t, securePort, { servername: 'one.test' })
  const renewed = makePair(['one.test'])

  use({ one: { domains: 'one.test', certificate: renewed } })
  before.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
  const [answer] = (await once(before, 'data')) as [Buffer]
  const after = await shake(t, securePort, { servername: 'one.test' })

  assert.match(answer.toString(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*one$/)
  assert.notEqual(after.getPeerX509Certificate()?.fingerprint256, before.getPeerX509Certificate()?.fingerprint256)
})

test('a certificate that was issued serves where the site has none of its own', async (t) => {
  const { securePort, certificates } = await startFront(t, { one: { domains: 'one.test' } })

  assert.throws(() => certificates.set('one', { cert: ONE.cert, key: TWO.key }), /the key is not the key of/)
  await assert.rejects(shake(t, securePort, { servername: 'one.test' }), refused('ERR_SSL_TLSV1_UNRECOGNIZED_NAME'))
  certificates.set('one', ONE)
  assert.deepEqual(await ask(securePort, 'one.test'), [200, 'one'])
  certificates.remove('one')
  await assert.rejects(shake(t, securePort, { servername: 'one.test' }), refused('ERR_SSL_TLSV1_UNRECOGNIZED_NAME'))
})

test('https_only: clear text is sent to https with path and query, and browsers are told to stay there', async (t) => {
  const { port, securePort, certificates } = await startFront(t, { one: { domains: 'one.test', only: true } })
  const plain = async (path: string, method = 'GET') => {
    const req = get({ port, host: '127.0.0.1', path, method, headers: { host: 'one.test:80' } })
    const [res] = (await once(req, 'response')) as [IncomingMessage]
    return [res.resume().statusCode, res.headers.location]
  }

  assert.deepEqual(await plain('/'), [200, undefined], 'no certificate yet')
  certificates.set('one', ONE)
  assert.deepEqual(await plain('/a?b=1&c=%20'), [301, `https://one.test:${securePort}/a?b=1&c=%20`])
  assert.deepEqual(await plain('//evil.test/x'), [301, `https://one.test:${securePort}//evil.test/x`])
  assert.deepEqual(await plain('http://one.test/x'), [301, `https://one.test:${securePort}/x`])
  assert.deepEqual(await plain('/form', 'POST'), [308, `https://one.test:${securePort}/form`])
  assert.deepEqual(await plain('/.well-known/acme-challenge/none'), [200, undefined])
  const req = request({ port: securePort, host: '127.0.0.1', servername: 'one.test', rejectUnauthorized: false })
  req.setHeader('host', 'one.test')
  const [res] = (await once(req.end(), 'response')) as [IncomingMessage]
  assert.equal(res.resume().headers['strict-transport-security'], 'max-age=100')
})

test('challenges of ACME: HTTP-01 in clear text for any host, TLS-ALPN-01 beside visitors of the same name', async (t) => {
  const { port, securePort, certificates } = await startFront(t, {
    one: { domains: 'one.test', certificate: ONE, only: true },
  })
  const challenge = makePair(['one.test'], ['-subj', '/CN=challenge'])
  certificates.httpChallenges.set('token', 'token.thumbprint')
  certificates.setChallenge('one.test', challenge)
  const token = async (path: string) => {
    const [res] = (await once(get({ port, host: '127.0.0.1', path, headers: { host: 'x.test' } }), 'response')) as [
      IncomingMessage,
    ]
    return [res.statusCode, (await res.setEncoding('utf8').toArray()).join('')]
  }
  const acme = { servername: 'one.test', ALPNProtocols: ['acme-tls/1'] }

  assert.deepEqual(await token('/.well-known/acme-challenge/token'), [200, 'token.thumbprint'])
  assert.equal((await token('/.well-known/acme-challenge/other'))[0], 421)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await shake(t, securePort, { ...acme, maxVersion })
    assert.equal(socket.getPeerCertificate().subject.CN, 'challenge')
    assert.equal(socket.alpnProtocol, 'acme-tls/1')
  }
  const visitor = await shake(t, securePort, { servername: 'one.test', ALPNProtocols: ['h2', 'http/1.1'] })
  assert.equal(visitor.getPeerCertificate().subject.CN, 'one.test')
  assert.deepEqual(await ask(securePort, 'one.test'), [200, 'one'])
  await assert.rejects(
    shake(t, securePort, { ...acme, servername: 'two.test' }),
    refused('ERR_SSL_TLSV1_UNRECOGNIZED_NAME'),
  )
  certificates.removeChallenge('one.test')
  await assert.rejects(shake(t, securePort, acme), refused('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'))
})

test('a client that keeps its end of a connection for a challenge open does not keep the connection', async (t) => {
  const { front, securePort, certificates } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } })
  certificates.setChallenge('one.test', makePair(['one.test']))
  const silent = { servername: 'one.test', ALPNProtocols: ['acme-tls/1'], allowHalfOpen: true }
  const socket = await shake(t, securePort, silent)
  await once(socket.resume(), 'end')

  // Waits for connections that are there; those that nothing was asked on it ends after five seconds.
  const closed = front.close(60_000).then(() => 'closed')

  assert.equal(await Promise.race([closed, delay(4_500, 'still open', { ref: false })]), 'closed')
  assert.ok(socket.writable, 'the client has not ended it')
})

test('bytes that are no handshake cost nobody anything, with and without challenges', async (t) => {
  const { securePort, certificates } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } })
  for (const isWatched of [false, true]) {
    if (isWatched) certificates.setChallenge('two.test', TWO)
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      '\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff',
      '\x16\x03\x01\xff\xff',
    ]) {
      const { connect: open } = await import('node:net')
      const socket = open({ port: securePort, host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.end(bytes, 'latin1')
      await once(socket.resume(), 'close')
    }
    assert.deepEqual(await ask(securePort, 'one.test'), [200, 'one'])
  }
})

test('whom a balancer speaks for is known also where it comes over a unix socket', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'vh-tls-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'tls.sock')
  const answer: Answerer = ({ req, res }) => {
    const { address, port, encrypted } = clientOf(req)
    res.end(`${address} ${port} ${encrypted}`)
  }
  await startFront(t, { one: { domains: 'one.test', certificate: ONE, answer } }, 'one', {
    settings: { trustedProxies: ['unix'], proxyProtocol: true },
    secure: { kind: 'unix', path },
  })
  const open = async (protocol: string): Promise<TLSSocket> => {
    const carrier = openSocket(path)
    carrier.write('PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n')
    return await shake(t, 0, { socket: carrier, servername: 'one.test', ALPNProtocols: [protocol] })
  }

  const plain = await open('http/1.1')
  plain.write('GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n')
  const [first] = (await plain.setEncoding('utf8').toArray()) as [string]
  const socket = await open('h2')
  const session = connectStreams('https://one.test', { createConnection: () => socket })
  const stream = session.request({ ':path': '/' })
  const second = (await stream.setEncoding('utf8').toArray()).join('')
  session.destroy()

  assert.match(first, /\r\n\r\n192\.0\.2\.7 4711 true$/)
  assert.equal(second, '192.0.2.7 4711 true')
})

test('a client that resets its connection while the front closes does not make the closing fail', async (t) => {
  const { front, certificates, securePort } = await startFront(t, { one: { domains: 'one.test', certificate: ONE } })
  // With a challenge open, connections are looked at before their handshake.
  certificates.setChallenge('one.test', ONE)
  const silent = openSocket(securePort, '127.0.0.1')
  await once(silent, 'connect')
  await shake(t, securePort, { servername: 'one.test' })

  const closed = front.close(5_000)
  silent.resetAndDestroy()

  await assert.doesNotReject(closed)
})
