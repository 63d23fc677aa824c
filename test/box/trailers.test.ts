/** Trailers of answers on their way to clients of HTTP/1.1 and HTTP/2, from modules and upstreams. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:http'
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { DEADLINE_MS, makeBox } from '../helpers/box.ts'
import { makePair } from '../helpers/certificates.ts'

const TEXT = 'a line of text\n'.repeat(200)

/** Sends trailers only to who takes them, as some servers do; announced, or (`/quiet`) not. */
const answer: RequestListener = (req, res) => {
  const takes = req.headers.te === 'trailers'
  res.writeHead(200, {
    'content-type': 'text/plain',
    'cache-control': 'max-age=60',
    ...(takes && req.url?.startsWith('/quiet') === false ? { trailer: 'grpc-status' } : {}),
  })
  res.write(TEXT)
  if (takes) res.addTrailers({ 'grpc-status': '0' })
  res.end()
}

async function upstream(t: TestContext): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Got {
  text: string
  trailers: IncomingHttpHeaders
}

async function askHttp2(t: TestContext, box: Box, site: string, path: string, coding: string): Promise<Got> {
  const { listen } = await box.status()
  const port = new URL(listen.find((one) => one.startsWith('https:')) ?? '').port
  const session: ClientHttp2Session = connect(`https://${site}.test:${port}`, {
    lookup: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
    rejectUnauthorized: false,
  })
  t.after(() => session.destroy())
  const stream = session.request({ ':path': path, te: 'trailers', 'accept-encoding': coding })
  stream.setTimeout(DEADLINE_MS, () => stream.destroy(new Error('no answer in time')))
  let trailers: IncomingHttpHeaders = {}
  stream.on('trailers', (found) => {
    trailers = found
  })
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  const whole = Buffer.concat(chunks)
  return { text: (coding === 'gzip' ? gunzipSync(whole) : whole).toString(), trailers }
}

test('trailers reach the client behind compression and a cache, over HTTP/1.1 and HTTP/2', async (t) => {
  const tls = 'certificate = ../cert.pem\nkey = ../key.pem\n'
  const proxy = `upstream = ${await upstream(t)}\n${tls}`
  const ini = (name: string, more: string): SiteFixture => ({ ini: `[site]\ndomains = ${name}.test\n${more}` })
  const module = { 'app.js': `const TEXT = ${JSON.stringify(TEXT)}\nexport default ${answer}` }
  const box = makeBox(
    t,
    {
      plain: ini('plain', proxy),
      cached: ini('cached', `${proxy}cache = on\n`),
      module: { files: module, more: tls },
    },
    { server: 'listen_tls = 127.0.0.1:0' },
  )
  const { cert, key } = makePair(['*.test'])
  box.write('cert.pem', cert)
  box.write('key.pem', key)
  await box.start()

  for (const site of ['plain', 'cached', 'module']) {
    for (const path of ['/', '/quiet']) {
      for (const coding of ['identity', 'gzip']) {
        const place = `${site} ${path} ${coding}`
        const headers = { te: 'trailers', connection: 'te', 'accept-encoding': coding }
        const { body, trailers } = await box.ask(site, `${path}?${coding}`, { headers })
        assert.equal((coding === 'gzip' ? gunzipSync(body) : body).toString(), TEXT, place)
        const over2 = await askHttp2(t, box, site, `${path}?${coding}`, coding)
        assert.equal(over2.text, TEXT, place)
        // What is stored has none, and so has what is stored of an answer that did not announce any.
        if (site === 'cached' && path === '/quiet') continue
        assert.deepEqual({ ...trailers }, { 'grpc-status': '0' }, place)
        assert.equal(over2.trailers['grpc-status'], '0', place)
      }
    }
  }
})
