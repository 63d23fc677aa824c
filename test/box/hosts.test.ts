/**
 * Which site answers for a host, as clients say it: Host, absolute targets, captures, several addresses to listen on.
 */
import assert from 'node:assert/strict'
import type { NetConnectOpts } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { freePorts } from '../../bench/free-port.ts'
import type { Box } from '../helpers/box.ts'
import { makeBox, send, startBox } from '../helpers/box.ts'

/** Tells which site answered, and what the host's rule caught. */
const NAMED = `export default { fetch (request, env) {
  const caught = Object.fromEntries([...request.headers].filter(([name]) => name.startsWith('x-vhostel-')))
  return Response.json({ site: env.NAME, path: new URL(request.url).pathname, caught })
} }`

const DOMAINS = {
  exact: 'example.com',
  suffix: '*.example.com',
  longer: '*.deep.example.com',
  prefix: 'www.*',
  prefix2: 'www.shop.*',
  regex: '~^(?<user>[a-z]+)-(\\d+)\\.users\\.test$',
  regex2: '~users',
  both: '.both.test',
  idn: 'müller.test',
  address: '[::1], 127.0.0.1',
  fallback: 'fallback.test',
}

/** Bytes in, everything out until the server ends the connection. Not half-closed: that means a client that has gone. */
async function raw(
  box: Box,
  bytes: string,
  where: NetConnectOpts = { host: '127.0.0.1', port: box.port },
): Promise<string> {
  const socket = connect(where)
  socket.setTimeout(10_000, () => socket.destroy(new Error('no answer in time')))
  socket.write(bytes, 'latin1')
  const parts = await socket.toArray()
  return Buffer.concat(parts as Buffer[]).toString('latin1')
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
}

describe('with a site for each kind of rule', () => {
  let box: Box
  const cleanups: (() => unknown)[] = []

  before(async () => {
    // One box for all tests of this group: they only ask.
    const context = { after: (cleanup: () => unknown) => cleanups.push(cleanup) }
    const sites = Object.entries(DOMAINS).map(([name, domains]) => [
      name,
      { domains, files: { 'app.mjs': NAMED }, more: `[env]\nNAME = ${name}` },
    ])
    box = makeBox(context as unknown as Parameters<typeof makeBox>[0], Object.fromEntries(sites), {
      server: 'default_site = fallback',
    })
    await box.start()
  })
  after(async () => {
    for (const cleanup of cleanups) await cleanup()
  })

  const rows: [string, string, string][] = [
    ['an exact name before a wildcard', 'example.com', 'exact'],
    ['a wildcard', 'a.example.com', 'suffix'],
    ['a wildcard for several labels', 'a.b.example.com', 'suffix'],
    ['the longest wildcard', 'a.deep.example.com', 'longer'],
    ['a wildcard before a prefix', 'www.example.com', 'suffix'],
    ['a prefix', 'www.other.test', 'prefix'],
    ['the longest prefix', 'www.shop.test', 'prefix2'],
    ['a regular expression', 'bob-42.users.test', 'regex'],
    ['the second regular expression where the first does not match', 'x.users.test', 'regex2'],
    ['.name: the name itself', 'both.test', 'both'],
    ['.name: its subdomains', 'a.both.test', 'both'],
    ['upper case', 'EXAMPLE.Com', 'exact'],
    ['a port', 'example.com:8080', 'exact'],
    ['a trailing dot', 'example.com.', 'exact'],
    ['a trailing dot and a port', 'example.com.:80', 'exact'],
    ['an IDN in ASCII', 'xn--mller-kva.test', 'idn'],
    ['an IPv6 literal', '[::1]:8080', 'address'],
    ['an IPv6 literal in another writing', '[0:0::1]', 'address'],
    ['an IPv4 address', '127.0.0.1', 'address'],
    ['the default site for the rest', 'unknown.test', 'fallback'],
  ]
  for (const [rule, host, expected] of rows) {
    test(`${rule}: ${host} goes to ${expected}`, async () => {
      const reply = await box.ask(expected, '/x', { headers: { host } })

      assert.equal(reply.status, 200)
      assert.equal(JSON.parse(reply.text).site, expected)
    })
  }

  test('captures are handed to the site, by number and by name', async () => {
    const reply = await box.ask('regex', '/', { headers: { host: 'bob-42.users.test' } })

    assert.deepEqual(JSON.parse(reply.text).caught, {
      'x-vhostel-1': 'bob',
      'x-vhostel-2': '42',
      'x-vhostel-user': 'bob',
    })
  })

  test('a client cannot hand captures to a site itself', async () => {
    const reply = await box.ask('regex', '/', { headers: { host: 'bob-42.users.test', 'X-Vhostel-User': 'root' } })

    assert.equal(JSON.parse(reply.text).caught['x-vhostel-user'], 'bob')
  })

  test('the absolute-form target wins over Host, and the site sees the path', async () => {
    const answer = await raw(
      box,
      'GET http://example.com/a/b HTTP/1.1\r\nHost: www.other.test\r\nConnection: close\r\n\r\n',
    )

    assert.match(answer, /"site":"exact","path":"\/a\/b"/)
  })

  test('requests of one connection go each to its own site', async () => {
    const answers = await raw(
      box,
      'GET / HTTP/1.1\r\nHost: example.com\r\n\r\n' +
        'GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n' +
        'GET / HTTP/1.1\r\nHost: www.other.test\r\nConnection: close\r\n\r\n',
    )

    const sites = [...answers.matchAll(/"site":"(\w+)"/g)].map((match) => match[1])
    assert.deepEqual(sites, ['exact', 'suffix', 'prefix'])
  })

  const malformed: [string, string][] = [
    ['no Host in HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n'],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n\r\n'],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
    ['a Host with a blank', 'GET / HTTP/1.1\r\nHost: example.com other\r\n\r\n'],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: example.com/x\r\n\r\n'],
    ['a Host with user info', 'GET / HTTP/1.1\r\nHost: me@example.com\r\n\r\n'],
    ['a Host with an encoded character', 'GET / HTTP/1.1\r\nHost: exa%41mple.com\r\n\r\n'],
    ['a Host with a bad port', 'GET / HTTP/1.1\r\nHost: example.com:http\r\n\r\n'],
    ['a Host with an unclosed bracket', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n'],
  ]
  for (const [what, bytes] of malformed) {
    test(`${what} is answered with 400, and the connection ends`, async () => {
      const answer = await raw(box, bytes)

      assert.equal(statusOf(answer), 400)
      assert.match(answer, /\r\nconnection: close\r\n/i)
    })
  }

  test('HTTP/1.0 without Host goes to the default site', async () => {
    const answer = await raw(box, 'GET / HTTP/1.0\r\n\r\n')

    assert.match(answer, /"site":"fallback"/)
  })
})

test('without a default site an unknown host gets 421 and a page that names no site', async (t) => {
  const box = makeBox(t, { secret: { files: { 'app.mjs': NAMED } } })
  await box.start()

  const reply = await box.ask('unknown.test')

  assert.equal(reply.status, 421)
  assert.doesNotMatch(reply.text, /secret/)
  assert.ok(reply.text.length > 20)
})

test("the server's own error pages are for what belongs to no site, and for sites without one, and change while it runs", async (t) => {
  const full = '[limits]\nmax_body = 1B\n'
  const box = makeBox(
    t,
    {
      app: { files: { 'app.mjs': NAMED }, more: full },
      own: { files: { 'app.mjs': NAMED, 'own.txt': 'of the site' }, more: `${full}[errors]\n4xx = own.txt\n` },
    },
    {
      server: 'header_count = 5',
      config: '[errors]\n421 = pages/none.html\n4xx = pages/4xx.txt\n5xx = pages/missing.html',
    },
  )
  box.write('pages/none.html', '<p>nobody here')
  box.write('pages/4xx.txt', 'of the server')
  await box.start()
  const answered = async (site: string, path = '/', body?: string): Promise<unknown[]> => {
    const { status, headers, text } = await box.ask(site, path, body === undefined ? {} : { method: 'POST', body })
    return [status, headers['content-type'], text]
  }

  assert.deepEqual(await answered('unknown.test'), [421, 'text/html; charset=utf-8', '<p>nobody here'])
  assert.deepEqual(await answered('app', '/', 'large'), [413, 'text/plain; charset=utf-8', 'of the server'])
  assert.deepEqual(await answered('own', '/', 'large'), [413, 'text/plain; charset=utf-8', 'of the site'])
  assert.match(await raw(box, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*\r\n\r\nof the server$/)
  assert.match(await raw(box, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*\r\n\r\nof the server$/)
  assert.match(await raw(box, 'GET / HTTP/3.7\r\n\r\n'), /^HTTP\/1\.1 505 [\s\S]*not spoken here\.\n$/)

  box.write('pages/none.html', '<p>still nobody')
  await box.waitFor('the new page', async () => (await answered('unknown.test'))[2] === '<p>still nobody')
})

test('a server listens on IPv4, IPv6 and a unix socket at once', async (t) => {
  const box = makeBox(t, { app: { files: { 'app.mjs': NAMED }, more: '[env]\nNAME = app' } })
  box.write('vhostel.ini', '[server]\nlisten = 127.0.0.1:0, [::1]:0, unix:front.sock\n')
  await box.start()
  const { listen } = await box.status()
  const v6 = new URL(listen.find((address) => address.includes('[::1]')) ?? 'http://none')

  const four = await box.ask('app')
  const six = await box.ask('app', '/', { host: '::1', port: Number(v6.port) })
  const bytes = 'GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n'
  const unix = await raw(box, bytes, { path: join(box.dir, 'front.sock') })

  assert.equal(four.status, 200)
  assert.equal(six.status, 200)
  assert.match(unix, /^HTTP\/1\.1 200 /)
})

test('all interfaces of IPv4 and those of IPv6 can be named both', async (t) => {
  const [port = 0] = await freePorts(1)
  const listen = `0.0.0.0:${port}, [::]:${port}`
  const box = await startBox(
    t,
    { one: { files: { 'app.mjs': "export default () => new Response('hello')" } } },
    { listen },
  )

  for (const host of ['127.0.0.1', '::1'])
    assert.equal((await send({ host, port, headers: { host: 'one.test' }, agent: false })).text, 'hello')
  assert.deepEqual((await box.site('one'))?.urls, [`http://one.test:${port}/`])
})
