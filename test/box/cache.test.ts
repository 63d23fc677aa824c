/** The cache and the compression of a real server: what the site is asked, and what its visitors get. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Reply } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/**
 * Answers as the query says: `cc` Cache-Control, `h` more headers as JSON, `size` of the body, `status`, `ms` until it
 * answers, `cut` in the middle. `/gate/…` waits until `/open/…` is asked for. `/asked/…` says how often a path was asked for.
 */
const SITE = `
const asked = new Map(), gates = new Map()
let failing = false
const opened = new Set()
export default async (req, res) => {
  const url = new URL(req.url, 'http://x')
  const [, kind, name] = url.pathname.split('/')
  if (kind === 'asked') return res.end(JSON.stringify(asked.get(name) ?? []))
  if (kind === 'open') { opened.add(name); gates.get(name)?.forEach((go) => go()); return res.end('open') }
  if (kind === 'fail') { failing = name === 'on'; return res.end() }
  const seen = { method: req.method, inm: req.headers['if-none-match'], ims: req.headers['if-modified-since'] }
  asked.set(name, [...(asked.get(name) ?? []), seen])
  const count = asked.get(name).length
  if (kind === 'gate' && !opened.has(name)) await new Promise((go) => gates.set(name, [...(gates.get(name) ?? []), go]))
  if (failing) { res.writeHead(500); return res.end('failed') }
  const query = url.searchParams
  const headers = JSON.parse(query.get('h') ?? '{}')
  if (query.has('cc')) headers['Cache-Control'] = query.get('cc')
  const text = kind === 'host' ? req.headers.host : kind === 'vary' ? req.headers['x-a'] + count : name + ' ' + count
  if (headers.ETag !== undefined && req.headers['if-none-match'] === headers.ETag) { res.writeHead(304, { ETag: headers.ETag, 'Cache-Control': query.get('cc') }); return res.end() }
  const body = text + (query.has('size') ? ' ' + 'x'.repeat(Number(query.get('size'))) : '')
  res.writeHead(Number(query.get('status') ?? 200), { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body), ...headers })
  if (query.has('cut')) { res.write(body.slice(0, 3)); return setTimeout(() => res.destroy(), 50) }
  res.end(req.method === 'HEAD' ? undefined : body)
}
`

interface Asked {
  method: string
  inm?: string
  ims?: string
}

function path(kind: string, name: string, query: Record<string, string | object> = {}): string {
  const texts = Object.entries(query).map(([key, value]): [string, string] => [
    key,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  return `/${kind}/${name}?${new URLSearchParams(texts)}`
}

const how = (reply: Reply): string => String(reply.headers['cache-status']).replace(/ttl=-?\d+/, 'ttl=N')

test('a cache in front of a module', async (t) => {
  const files = { 'site.mjs': SITE }
  const box = await startBox(
    t,
    {
      one: { files, more: 'cache = on\n[cache]\nlargest = 100KB\n' },
      two: { files, domains: 'two.test', more: 'cache = on\n' },
      deaf: { files, more: 'cache = on\n[cache]\nclient_control = no\n' },
      off: { files },
    },
    { config: '[pool]\nprocesses = 1\nthreads = 1\n' },
  )
  const askedOf = async (name: string, site = 'one'): Promise<Asked[]> =>
    JSON.parse((await box.ask(site, `/asked/${name}`)).text) as Asked[]

  const visits = async (): Promise<number> => (await box.site('one'))?.requests ?? 0

  await t.test('what may be stored is asked for once, HEAD, conditions and ranges included', async () => {
    const page = path('p', 'fresh', {
      cc: 'max-age=60',
      h: { ETag: '"v1"', 'Last-Modified': 'Sat, 01 Jan 2022 00:00:00 GMT' },
    })
    const first = await box.ask('one', page)
    const second = await box.ask('one', page)
    const head = await box.ask('one', page, { method: 'HEAD' })
    const known = await box.ask('one', page, { headers: { 'if-none-match': '"x", W/"v1"' } })
    const since = await box.ask('one', page, { headers: { 'if-modified-since': 'Sun, 02 Jan 2022 00:00:00 GMT' } })
    const part = await box.ask('one', page, { headers: { range: 'bytes=1-3' } })
    const tail = await box.ask('one', page, { headers: { range: 'bytes=-2', 'if-range': '"v1"' } })
    const stale = await box.ask('one', page, { headers: { range: 'bytes=-2', 'if-range': '"v0"' } })
    const beyond = await box.ask('one', page, { headers: { range: 'bytes=100-' } })

    assert.deepEqual(
      [first.text, how(first), first.headers.age],
      ['fresh 1', 'vhostel; fwd=uri-miss; stored', undefined],
    )
    // Its Date has no parts of seconds.
    assert.ok(['0', '1'].includes(String(second.headers.age)), second.headers.age)
    assert.deepEqual([second.text, how(second)], ['fresh 1', 'vhostel; hit; ttl=N'])
    assert.deepEqual([head.text, head.headers['content-length'], how(head)], ['', '7', 'vhostel; hit; ttl=N'])
    assert.deepEqual([known.status, known.text, known.headers.etag, since.status], [304, '', '"v1"', 304])
    assert.deepEqual([part.status, part.text, part.headers['content-range']], [206, 'res', 'bytes 1-3/7'])
    assert.deepEqual([tail.status, tail.text, stale.status, stale.text], [206, ' 1', 200, 'fresh 1'])
    assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */7'])
    assert.equal((await askedOf('fresh')).length, 1)
  })

  await t.test('what is written oddly is read as RFC 9111 has it', async () => {
    const year = String((new Date().getUTCFullYear() + 20) % 100).padStart(2, '0')
    const cases: Record<string, [query: Record<string, string | object>, asked: number]> = {
      firstyoung: [{ cc: 'max-age=60', h: { Age: '0, 7200' } }, 1],
      firstold: [{ cc: 'max-age=60', h: { Age: '7200, 0' } }, 2],
      noage: [{ cc: 'max-age=60', h: { Age: '7200.5' } }, 1],
      shortyear: [{ h: { Expires: `Thursday, 18-Aug-${year} 02:01:18 GMT` } }, 1],
      otherdate: [{ h: { Expires: new Date(Date.now() + 3_600_000).toUTCString().toUpperCase() } }, 1],
      understood: [{ cc: 'max-age=60, no-store, must-understand' }, 1],
      notunderstood: [{ cc: 'max-age=60, no-store, must-understand', status: '599' }, 2],
    }
    for (const [name, [query, asked]] of Object.entries(cases)) {
      await box.ask('one', path('p', name, query))
      await box.ask('one', path('p', name, query))
      assert.equal((await askedOf(name)).length, asked, name)
    }
  })

  await t.test('what must not be stored goes to the site each time', async () => {
    const cases: Record<string, [query: Record<string, string | object>, headers?: Record<string, string>]> = {
      nothing: [{}],
      tagged: [{ h: { ETag: '"a"' } }],
      nostore: [{ cc: 'no-store, max-age=60' }],
      private: [{ cc: 'private="x", max-age=60' }],
      cookie: [{ cc: 'max-age=60', h: { 'Set-Cookie': 'a=b' } }],
      star: [{ cc: 'max-age=60', h: { Vary: 'x-a, *' } }],
      zero: [{ cc: 'max-age=0' }],
      asked: [{ cc: 'max-age=60' }, { 'cache-control': 'no-store' }],
      authorized: [{ cc: 'max-age=60' }, { authorization: 'Basic YTpi' }],
      large: [{ cc: 'max-age=60', size: '102400' }],
    }
    for (const [name, [query, headers = {}]] of Object.entries(cases)) {
      const texts = [
        await box.ask('one', path('p', name, query), { headers }),
        await box.ask('one', path('p', name, query), { headers }),
      ]
      assert.deepEqual(
        texts.map((reply) => reply.text.slice(0, name.length + 2)),
        [`${name} 1`, `${name} 2`],
        `${name}: ${texts.map(how).join(' | ')}`,
      )
    }
    const shared = path('p', 'shared', { cc: 'public, max-age=60', h: { 'Set-Cookie': 'a=b' } })
    await box.ask('one', shared, { headers: { authorization: 'Basic YTpi' } })
    const again = await box.ask('one', shared, { headers: { authorization: 'Basic Yzpk' } })
    assert.deepEqual([again.text, again.headers['set-cookie']], ['shared 1', ['a=b']])
  })

  await t.test('an answer is for its site, its host and what it varies by alone', async () => {
    const page = path('p', 'own', { cc: 'max-age=60' })
    await box.ask('one', page)
    assert.equal(how(await box.ask('two', page)), 'vhostel; fwd=uri-miss; stored')
    const hosted = path('host', 'h', { cc: 'max-age=60' })
    const plain = await box.ask('one', hosted)
    const poisoned = await box.ask('one', hosted, { headers: { host: 'one.test:666' } })
    assert.deepEqual(
      [plain.text, poisoned.text, (await box.ask('one', hosted)).text],
      ['one.test', 'one.test:666', 'one.test'],
    )

    const varied = path('vary', 'varied', { cc: 'max-age=60', h: { Vary: 'X-A' } })
    const ask = async (value: string): Promise<string> =>
      (await box.ask('one', varied, { headers: { 'x-a': value } })).text
    assert.deepEqual([await ask('a'), await ask('b'), await ask('a'), await ask('b')], ['a1', 'b2', 'a1', 'b2'])
  })

  await t.test(
    'requests for the same are one, also where the first client leaves, and wait no more once it cannot be stored',
    async () => {
      const page = path('gate', 'together', { cc: 'max-age=60' })
      const before = await visits()
      const all = Array.from({ length: 20 }, () => box.ask('one', page))
      await box.waitFor('all to have come', async () => (await visits()) >= before + 20)
      await box.ask('one', '/open/together')
      const replies = await Promise.all(all)
      assert.deepEqual(new Set(replies.map(({ text }) => text)), new Set(['together 1']))
      assert.equal(replies.filter((reply) => how(reply) === 'vhostel; fwd=uri-miss; collapsed').length, 19)
      assert.equal((await askedOf('together')).length, 1)

      const left = path('gate', 'left', { cc: 'max-age=60' })
      const leaver = request({
        host: '127.0.0.1',
        port: box.port,
        path: left,
        headers: { host: 'one.test' },
        agent: false,
      })
      leaver.on('error', () => {}).end()
      await box.waitFor('the site to be asked', async () => (await askedOf('left')).length > 0)
      const beforeOthers = await visits()
      const others = Array.from({ length: 5 }, () => box.ask('one', left))
      await box.waitFor('the others to have come', async () => (await visits()) >= beforeOthers + 5)
      leaver.destroy()
      await box.waitFor('the next one to go', async () => (await askedOf('left')).length > 1)
      await box.ask('one', '/open/left')
      assert.deepEqual(new Set((await Promise.all(others)).map(({ text }) => text)), new Set(['left 2']))

      const each = path('gate', 'each', { cc: 'no-store' })
      const alone = Array.from({ length: 5 }, () => box.ask('one', each))
      await box.waitFor('the site to be asked', async () => (await askedOf('each')).length > 0)
      await box.ask('one', '/open/each')
      assert.equal(new Set((await Promise.all(alone)).map(({ text }) => text)).size, 5)
    },
  )

  await t.test('what is stale is confirmed, used meanwhile, or used while the site fails, as it says', async () => {
    const tagged = path('p', 'confirmed', { cc: 'max-age=1', h: { ETag: '"v"' } })
    const meanwhile = path('p', 'meanwhile', { cc: 'max-age=1, stale-while-revalidate=60' })
    const sick = path('p', 'sick', { cc: 'max-age=1, stale-if-error=60' })
    const strict = path('p', 'strict', { cc: 'max-age=1, stale-if-error=60, must-revalidate' })
    for (const page of [tagged, meanwhile, sick, strict]) await box.ask('one', page)
    await delay(1100)

    const confirmed = await box.ask('one', tagged)
    assert.deepEqual([confirmed.status, confirmed.text], [200, 'confirmed 1'])
    assert.equal(how(confirmed), 'vhostel; fwd=stale; fwd-status=304')
    assert.equal(how(await box.ask('one', tagged)), 'vhostel; hit; ttl=N')
    assert.deepEqual(
      (await askedOf('confirmed')).map(({ inm }) => inm),
      [undefined, '"v"'],
    )

    const used = await box.ask('one', meanwhile)
    assert.deepEqual([used.text, how(used)], ['meanwhile 1', 'vhostel; hit; ttl=N'])
    await box.waitFor('the new answer', async () => (await box.ask('one', meanwhile)).text === 'meanwhile 2')

    await box.ask('one', '/fail/on')
    const kept = await box.ask('one', sick)
    const refused = await box.ask('one', strict)
    await box.ask('one', '/fail/off')
    assert.deepEqual([kept.status, kept.text], [200, 'sick 1'])
    assert.equal(how(kept), 'vhostel; fwd=stale; fwd-status=500; detail=stale-if-error')
    assert.deepEqual([refused.status, (await box.ask('one', strict)).text], [500, 'strict 3'])
  })

  await t.test(
    'a change, a reload of the client and a purge bring the new answer; a cut one is never kept',
    async () => {
      const page = path('p', 'changed', { cc: 'max-age=60' })
      await box.ask('one', page)
      const post = await box.ask('one', page, { method: 'POST', body: 'x' })
      assert.equal(how(post), 'vhostel; fwd=method')
      assert.equal((await box.ask('one', page)).text, 'changed 3')
      assert.equal((await box.ask('one', page, { headers: { 'cache-control': 'no-cache' } })).text, 'changed 4')
      assert.equal((await box.ask('one', page)).text, 'changed 4')
      assert.equal(
        (await box.ask('one', page, { headers: { 'cache-control': 'max-age=0', pragma: 'no-cache' } })).text,
        'changed 5',
      )
      const deaf = path('p', 'deaf', { cc: 'max-age=60' })
      for (let round = 0; round < 2; round++) {
        assert.equal((await box.ask('deaf', deaf, { headers: { 'cache-control': 'no-cache' } })).text, 'deaf 1')
      }
      const only = await box.ask('one', path('p', 'only'), { headers: { 'cache-control': 'only-if-cached' } })
      assert.equal(only.status, 504)

      const cut = path('p', 'cut', { cc: 'max-age=60', cut: '1' })
      for (let round = 0; round < 2; round++) await assert.rejects(box.ask('one', cut))
      assert.equal((await askedOf('cut')).length, 2)
    },
  )

  await t.test('a stored text is compressed once for all, and its tag is weak', async () => {
    const page = path('p', 'text', { cc: 'max-age=60', size: '5000', h: { ETag: '"t"' } })
    const plain = await box.ask('one', page)
    const coded = await box.ask('one', page, { headers: { 'accept-encoding': 'gzip' } })
    const zstd = await box.ask('one', page, { headers: { 'accept-encoding': 'gzip, br, zstd' } })
    const head = await box.ask('one', page, { method: 'HEAD', headers: { 'accept-encoding': 'gzip' } })
    const known = await box.ask('one', page, { headers: { 'accept-encoding': 'gzip', 'if-none-match': 'W/"t"' } })
    assert.equal(String(gunzipSync(coded.body)), plain.text)
    assert.equal(String(zstdDecompressSync(zstd.body)), plain.text)
    assert.deepEqual(
      [coded.headers.etag, coded.headers.vary, plain.headers.vary],
      ['W/"t"', 'Accept-Encoding', 'Accept-Encoding'],
    )
    assert.deepEqual(
      [head.headers['content-length'], known.status, known.headers.etag],
      [String(coded.body.length), 304, 'W/"t"'],
    )
    const large = path('p', 'bulky', { cc: 'max-age=60', size: '90000' })
    const first = await box.ask('one', large, { headers: { 'accept-encoding': 'gzip' } })
    const second = await box.ask('one', large, { headers: { 'accept-encoding': 'gzip' } })
    assert.equal(gunzipSync(first.body).length, gunzipSync(second.body).length)
    await box.waitFor('its compressed form', async () => {
      const { headers } = await box.ask('one', large, { headers: { 'accept-encoding': 'gzip' } })
      return headers['content-length'] !== undefined
    })
    assert.equal(await askedOf('bulky').then((all) => all.length), 1)
  })

  await t.test('status counts what was done, and new code of the site drops what is stored', async () => {
    const { cache } = (await box.site('one')) ?? {}
    assert.ok(cache !== undefined && cache.hits > 10 && cache.stored > 5 && cache.bytes > 5000 && cache.urls > 5)
    assert.equal((await box.site('off'))?.cache, undefined)
    assert.equal((await box.ask('off', path('p', 'x', { cc: 'max-age=60' }))).headers['cache-status'], undefined)

    const page = path('p', 'fresh', {
      cc: 'max-age=60',
      h: { ETag: '"v1"', 'Last-Modified': 'Sat, 01 Jan 2022 00:00:00 GMT' },
    })
    assert.equal(how(await box.ask('one', page)), 'vhostel; hit; ttl=N')
    await box.reload('one')
    assert.equal(how(await box.ask('one', page)), 'vhostel; fwd=uri-miss; stored')
  })
})

/** Says whom it is asked by. What it says is stale at once, and used while it is asked anew. */
const TELLER = `export default (req, res) => {
  const { remoteAddress, encrypted = false } = req.socket
  res.writeHead(200, { 'Cache-Control': 'max-age=1, stale-while-revalidate=60', Age: 2 })
  res.end([remoteAddress, encrypted, req.headers.host, req.headers['x-forwarded-for']].join(' '))
}`

test('what the cache asks by itself is asked in the name of its visitor, also behind a trusted proxy', async (t) => {
  const upstream = createServer((req, res) => {
    const { host, 'x-forwarded-for': client, 'x-forwarded-proto': scheme, forwarded } = req.headers
    res.writeHead(200, { 'Cache-Control': 'max-age=1, stale-while-revalidate=60', Age: 2 })
    res.end([client, scheme, host, req.headers['x-forwarded-host'], forwarded].join(' '))
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  t.after(() => {
    upstream.closeAllConnections()
    upstream.close()
  })
  const { port } = upstream.address() as AddressInfo
  const box = await startBox(
    t,
    {
      far: { ini: `[site]\ndomains = far.test\nupstream = http://127.0.0.1:${port}\ncache = on\n` },
      near: { files: { 'site.mjs': TELLER }, more: 'cache = on\n' },
    },
    { server: 'trusted_proxies = 127.0.0.1', config: '[pool]\nprocesses = 1\nthreads = 1\n' },
  )
  const told = {
    far: '203.0.113.N https far.test far.test for=203.0.113.N;proto=https;host=far.test',
    near: '203.0.113.N true near.test 203.0.113.N',
  }
  for (const site of ['far', 'near'] as const) {
    const ask = (visitor: number): Promise<Reply> =>
      box.ask(site, '/', { headers: { 'x-forwarded-for': `203.0.113.${visitor}`, 'x-forwarded-proto': 'https' } })

    assert.equal((await ask(1)).text, told[site].replaceAll('N', '1'))
    // Is given what is stored, and has the cache ask for what the third one is given.
    assert.equal((await ask(2)).text, told[site].replaceAll('N', '1'))
    const second = told[site].replaceAll('N', '2')
    let text = ''
    await box.waitFor('an answer that the cache asked for', async () => {
      text = (await ask(2)).text
      return text !== told[site].replaceAll('N', '1')
    })
    assert.equal(text, second)
  }
})
