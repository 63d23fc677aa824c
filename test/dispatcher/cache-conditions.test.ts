/** Conditions of visitors before an empty or old cache: a 304 of the site would store nothing. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { test } from 'node:test'
import { SiteCache } from '../../src/dispatcher/cache.ts'
import { ServerCache } from '../../src/dispatcher/cache-store.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
import type { Reply } from '../helpers/box.ts'
import { SETTINGS, serveCached } from '../helpers/cached-page.ts'
import { makePair } from '../helpers/certificates.ts'
import { startFront } from '../helpers/tls-front.ts'

interface Site {
  /** The conditions that reached it. */
  asked: (string | undefined)[]
  answer(visit: Visit): void
}

/** A site that knows conditions, as most do. @param page says what it answers now */
function site(page: () => { tag: string; headers: Record<string, string> }): Site {
  const asked: (string | undefined)[] = []
  const answer = ({ req, res }: Visit): void => {
    const { tag, headers } = page()
    const known = req.headers['if-none-match'] ?? req.headers['if-modified-since']
    asked.push(known)
    if (known === tag) return void res.writeHead(304, ['etag', tag]).end()
    const head = { etag: tag, 'last-modified': 'Sat, 01 Jan 2022 00:00:00 GMT', ...headers }
    res.writeHead(200, Object.entries({ ...head, 'content-length': 8 }).flat())
    res.end(`page ${tag}`)
  }
  return { asked, answer }
}

const how = ({ headers }: Reply): string => String(headers['cache-status'])

test('a visitor who has the page already fills an empty cache, and is told so', async (t) => {
  const since = { 'if-modified-since': 'Sun, 02 Jan 2022 00:00:00 GMT' }
  for (const known of [{ 'if-none-match': 'W/"1", "x"' }, { 'if-none-match': '*' }, since]) {
    const { asked, answer } = site(() => ({ tag: '"1"', headers: { 'cache-control': 'max-age=60', 'x-a': 'b' } }))
    const ask = await serveCached(t, answer)

    const confirmed = await ask(known)
    const next = await ask()

    assert.deepEqual([confirmed.status, confirmed.text, confirmed.headers.etag], [304, '', '"1"'])
    assert.deepEqual([confirmed.headers['content-length'], confirmed.headers['x-a']], [undefined, 'b'])
    assert.equal(how(confirmed), 'vhostel; fwd=uri-miss; fwd-status=200; stored')
    assert.deepEqual([next.status, next.text], [200, 'page "1"'])
    assert.match(how(next), /^vhostel; hit/)
    assert.deepEqual(asked, [undefined])
  }
})

test('a visitor whose page is old gets the new one, and so does the cache', async (t) => {
  const { asked, answer } = site(() => ({ tag: '"2"', headers: { 'cache-control': 'max-age=60' } }))
  const ask = await serveCached(t, answer)

  const old = await ask({ 'if-none-match': '"1"', 'if-modified-since': 'Sun, 02 Jan 2022 00:00:00 GMT' })

  assert.deepEqual([old.status, old.text, how(old)], [200, 'page "2"', 'vhostel; fwd=uri-miss; stored'])
  assert.equal((await ask({ 'if-none-match': '"2"' })).status, 304)
  assert.deepEqual(asked, [undefined])
})

test('of those who wait for one answer, each is answered by what he has', async (t) => {
  const held: Visit[] = []
  let asking = 0
  const { promise: allAsked, resolve } = Promise.withResolvers<void>()
  const { asked, answer } = site(() => ({ tag: '"1"', headers: { 'cache-control': 'max-age=60' } }))
  const ask = await serveCached(t, (visit) => void held.push(visit), { onAsked: () => ++asking === 4 && resolve() })
  const replies = ['"1"', '"0"', '"1"', '"x"'].map((tag) => ask({ 'if-none-match': tag }))
  await allAsked

  for (const visit of held) answer(visit)

  const told = (await Promise.all(replies)).map(({ status, text }) => `${status} ${text}`)
  assert.deepEqual(told, ['304 ', '200 page "1"', '304 ', '200 page "1"'])
  assert.deepEqual(asked, [undefined])
})

test('what cannot be stored is judged by its tag once, then by the site, and loses no header', async (t) => {
  const headers = { 'cache-control': 'private', 'set-cookie': 'a=b', 'content-type': 'text/x' }
  const { asked, answer } = site(() => ({ tag: '"1"', headers }))
  const ask = await serveCached(t, answer)

  const first = await ask({ 'if-none-match': '"1"' })
  const second = await ask({ 'if-none-match': '"1"' })
  const third = await ask()

  assert.deepEqual([first.status, second.status, third.status], [304, 304, 200])
  assert.deepEqual([first.headers['set-cookie'], first.headers['content-type']], [['a=b'], undefined])
  assert.deepEqual([how(first), how(second)], ['vhostel; fwd=uri-miss; fwd-status=200', 'vhostel; fwd=uri-miss'])
  assert.deepEqual(asked, [undefined, '"1"', undefined])
})

test("a condition is the site's to judge where nothing is to be stored", async (t) => {
  const { asked, answer } = site(() => ({ tag: '"1"', headers: { 'cache-control': 'max-age=60' } }))
  const ask = await serveCached(t, answer)
  const known = { 'if-none-match': '"1"' }
  const stores = { authorization: 'Basic YTpi' }

  for (const headers of [{ 'cache-control': 'no-store' }, { range: 'bytes=0-1' }, stores]) {
    assert.equal((await ask({ ...known, ...headers })).status, 304)
  }
  assert.equal((await ask(known, 'HEAD')).status, 304)

  assert.deepEqual(asked, ['"1"', '"1"', '"1"', '"1"'])
})

test('what is stored without a tag is not confirmed by what the site says of another', async (t) => {
  let isNew = false
  const ask = await serveCached(t, ({ req, res }) => {
    if (isNew && req.headers['if-none-match'] === '"2"') return void res.writeHead(304, ['etag', '"2"']).end()
    const headers = { 'cache-control': 'max-age=60, stale-if-error=60', age: isNew ? '0' : '60' }
    res.writeHead(200, isNew ? { ...headers, etag: '"2"' } : headers).end(isNew ? 'new' : 'old')
  })
  assert.equal((await ask()).text, 'old')
  isNew = true

  const known = await ask({ 'if-none-match': '"2"' })

  assert.deepEqual([known.status, known.text, how(known)], [304, '', 'vhostel; fwd=stale; fwd-status=200; stored'])
  assert.equal((await ask()).text, 'new')
})

test('a visitor who has what the site has now is told so, where the stored one is old', async (t) => {
  let tag = '"1"'
  const { asked, answer } = site(() => ({ tag, headers: { 'cache-control': 'max-age=60', age: '60' } }))
  const ask = await serveCached(t, answer)
  await ask()
  tag = '"2"'

  const known = await ask({ 'if-none-match': '"2"' })

  assert.deepEqual([known.status, how(known)], [304, 'vhostel; fwd=stale; fwd-status=200; stored'])
  assert.deepEqual(asked, [undefined, '"1"'])
})

test('of a page too large to be stored that a visitor has, no more is read than could have been stored', async (t) => {
  let closed: Promise<unknown> = Promise.resolve()
  const ask = await serveCached(t, ({ res }) => {
    closed = once(res, 'close')
    res.writeHead(200, ['cache-control', 'max-age=60', 'etag', '"1"'])
    // It has no end.
    for (let at = 0; at <= SETTINGS.largestBytes; at += 65_536) res.write('x'.repeat(65_536))
  })

  const known = await ask({ 'if-none-match': '"1"' })
  await closed

  assert.deepEqual([known.status, known.text], [304, ''])
})

test('a visitor is told that he has the page once the cache has it, so that his leaving costs nothing', async (t) => {
  let sentBytes: number | undefined
  const ask = await serveCached(t, ({ res }) => {
    const { socket } = res
    res.writeHead(200, ['cache-control', 'max-age=60', 'etag', '"1"'])
    res.flushHeaders()
    res.write('pa')
    sentBytes = socket?.bytesWritten
    res.end('ge')
  })

  assert.equal((await ask({ 'if-none-match': '"1"' })).status, 304)

  assert.equal(sentBytes, 0)
  assert.equal((await ask()).text, 'page')
})

test('over HTTP/2 too', async (t) => {
  const caches = new ServerCache(SETTINGS.memoryBytes)
  const cache = new SiteCache(caches, caches.open('a', SETTINGS), false)
  const { promise: begun, resolve: begin } = Promise.withResolvers<Visit>()
  let count = 0
  const page = (visit: Visit): void => {
    if (count++ > 0) return void visit.res.end('again')
    visit.res.writeHead(200, ['cache-control', 'max-age=60', 'etag', '"1"'])
    visit.res.write('pa')
    begin(visit)
  }
  const a = {
    domains: 'a.test',
    certificate: makePair(['a.test']),
    answer: (visit: Visit) => (visit.asked.target === '/' ? cache.handle(visit, page) : void visit.res.end('other')),
  }
  const { securePort } = await startFront(t, { a })
  const client = connect(`https://127.0.0.1:${securePort}`, { servername: 'a.test', rejectUnauthorized: false })
  t.after(() => client.destroy())
  const ask = async (path: string, headers = {}): Promise<string> => {
    const stream = client.request({ ':authority': 'a.test', ':path': path, ...headers })
    const [head] = (await once(stream, 'response')) as [Record<string, string>]
    return `${head[':status']} ${(await stream.setEncoding('utf8').toArray()).join('')}`
  }

  const known = ask('/', { 'if-none-match': '"1"' })
  const { res } = await begun
  // What was sent before this has come to the client, and what the client makes of it has come back.
  for (let round = 0; round < 2; round++) assert.equal(await ask('/other'), '200 other')
  res.end('ge')

  assert.deepEqual([await known, await ask('/'), count], ['304 ', '200 page', 1])
})
