/** Certificates by ACME, as a user has them: a whole server, and Debian’s pebble as the certificate authority. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { globSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { connect } from 'node:tls'
import { freePorts } from '../../bench/free-port.ts'
import { vhostel } from '../cli/command.ts'
import type { Box } from '../helpers/box.ts'
import { DEADLINE_MS, makeBox, send } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'
import { startPebble } from '../helpers/pebble.ts'

function acme(directory: string, caFile: string, challenge: string): string {
  return `[acme]\ndirectory = ${directory}\nca_file = ${caFile}\nagree = yes\nchallenge = ${challenge}\n[pool]\nprocesses = 1\nthreads = 1`
}

/** A request over TLS whose certificate has to be good for the host. */
async function askSecurely(port: number, host: string, ca: string): Promise<{ body: string; serial: string }> {
  const req = get({ host: '127.0.0.1', port, servername: host, headers: { host }, ca, agent: false })
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  const { raw } = (res.socket as TLSSocket).getPeerCertificate()
  return { body: await text(res), serial: new X509Certificate(raw).serialNumber }
}

async function isCertified(box: Box, site: string): Promise<boolean> {
  return (await box.site(site))?.certificate?.state === 'valid'
}

test('a server gets its certificates by itself, keeps them over restarts, and puts new ones in use', async (t) => {
  const [httpPort = 0, tlsPort = 0] = await freePorts(2)
  const pebble = await startPebble(t, { httpPort, tlsPort })
  await pebble.resolve('lost.test', '127.0.0.2')
  const files = { 'site.js': `export default { fetch: () => new Response('hello') }` }
  const more = 'tls = auto\nhttps_only = yes'
  const box = makeBox(
    t,
    {
      blog: { files, domains: 'blog.test, www.blog.test, *.blog.test', more },
      lost: { files, more },
    },
    {
      server: `listen = 127.0.0.1:${httpPort}\nlisten_tls = 127.0.0.1:${tlsPort}`,
      config: acme(pebble.directory, pebble.caFile, 'http-01'),
    },
  )
  await box.start()
  await box.waitFor('the certificate', () => isCertified(box, 'blog'))
  const root = await pebble.root()

  await t.test('it answers over TLS with it, and redirects to there', async () => {
    const secure = await askSecurely(tlsPort, 'www.blog.test', root)
    const plain = await send({ host: '127.0.0.1', port: httpPort, path: '/', headers: { host: 'blog.test' } })

    assert.equal(secure.body, 'hello')
    assert.equal(plain.status, 301)
    assert.equal(plain.headers.location, `https://blog.test:${tlsPort}/`)
    assert.match(box.output, /blog\.ini:2: \[site\] domains: no certificate for \W+\*\.blog\.test/)
  })

  await t.test('a site whose order is refused is served in clear text, and its status says why', async () => {
    await box.waitFor('the refusal', async () => {
      const certificate = (await box.site('lost'))?.certificate
      return certificate?.state === 'waiting' && certificate.failures === 1
    })
    const plain = await send({ host: '127.0.0.1', port: httpPort, path: '/', headers: { host: 'lost.test' } })
    const status = (await box.site('lost'))?.certificate

    assert.deepEqual([plain.status, plain.text], [200, 'hello'])
    assert.match(status?.reasons.join() ?? '', /^lost\.test: .*127\.0\.0\.2/)
    await assert.rejects(askSecurely(tlsPort, 'lost.test', root))
    const reload = await vhostel(['reload', '--config', box.dir])
    assert.equal(reload.stdout, '2 sites read again: all are in service\n')
    assert.match(reload.stderr, /^lost: no good certificate so far; 'vhostel status lost' says why$/m)
  })

  await t.test('a site that comes later gets its own', async () => {
    box.addSite('late', { files, more })

    await box.waitFor('its certificate', () => isCertified(box, 'late'))
    assert.equal((await askSecurely(tlsPort, 'late.test', root)).body, 'hello')
  })

  await t.test('after a restart a good one is used as it is, and one that lacks a name is replaced', async () => {
    const { serial } = await askSecurely(tlsPort, 'late.test', root)
    const orders = pebble.orders
    await box.stop()
    const modes = globSync('state/**/*.{pem,json}', { cwd: box.dir }).map((file) => statSync(join(box.dir, file)).mode)
    const [file = ''] = globSync('state/acme/*/sites/blog.pem', { cwd: box.dir })
    const old = makePair(['blog.test'], ['-days', '1'])
    writeFileSync(join(box.dir, file), old.key + old.cert)
    writeFileSync(join(box.dir, dirname(file), 'blog.json'), '')
    const ini = readFileSync(join(box.dir, 'vhostel.ini'), 'utf8')
    box.write('vhostel.ini', ini.replace('challenge = http-01', 'challenge = tls-alpn-01'))
    const [open] = await Promise.all([connected(tlsPort, 'blog.test', old.cert), box.start()])

    assert.equal((await askSecurely(tlsPort, 'late.test', root)).serial, serial)
    await box.waitFor('the other one', () => isCertified(box, 'blog'))
    // The connection that was made with the old one is still good.
    open.write('GET / HTTP/1.1\r\nHost: blog.test\r\nConnection: close\r\n\r\n')
    assert.match(await text(open), /^HTTP\/1\.1 200 OK[\s\S]*hello$/)
    assert.equal((await askSecurely(tlsPort, 'www.blog.test', root)).body, 'hello')
    assert.equal(pebble.orders, orders + 1)
    assert.deepEqual([...new Set(modes.map((mode) => mode & 0o777))], [0o600])
  })
})

test('a server that knows its accounts from elsewhere is told whose this one is', async (t) => {
  const [httpPort = 0, tlsPort = 0] = await freePorts(2)
  const key = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'
  const pebble = await startPebble(t, { httpPort, tlsPort, externalAccounts: { 'kid-1': key } })
  const account = `agree = yes\neab_kid = kid-1\neab_hmac_key = ${key}\n`
  const box = makeBox(
    t,
    {
      blog: {
        files: { 'index.html': 'hello' },
        ini: '[site]\ndomains = blog.test\nroot = ../sites/blog\ntls = auto\n',
      },
    },
    {
      server: `listen = 127.0.0.1:${httpPort}\nlisten_tls = 127.0.0.1:${tlsPort}`,
      config: acme(pebble.directory, pebble.caFile, 'http-01').replace('agree = yes\n', account),
    },
  )
  await box.start()
  await box.waitFor('the certificate', () => isCertified(box, 'blog'))

  assert.equal((await askSecurely(tlsPort, 'blog.test', await pebble.root())).body, 'hello')
  assert.ok(!box.output.includes(key))
})

/** A connection to a server that is being started, as soon as there is one. */
async function connected(port: number, servername: string, ca: string): Promise<TLSSocket> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const socket = connect({ host: '127.0.0.1', port, servername, ca })
    try {
      await once(socket, 'secureConnect')
      return socket
    } catch (error) {
      // Reset, where it came while the server only tried whether the port is free.
      const isEarly = ['ECONNREFUSED', 'ECONNRESET'].includes((error as NodeJS.ErrnoException).code ?? '')
      if (!isEarly || performance.now() > deadline) throw error
      await delay(5)
    }
  }
}
