import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { hostOfRequest } from '../../src/dispatcher/request-host.ts'

const HOST = ['Accept', '*/*', 'Host', 'Example.com:8080', 'Vary', 'x']

test('the host comes from the Host header, and the target stays as it is', () => {
  assert.deepEqual(hostOfRequest(HOST, '/a/b?c=http://d/', 1), {
    host: 'example.com',
    target: '/a/b?c=http://d/',
    authority: undefined,
  })
})

test('the name of the header is found in any case, and names of the same length are passed over', () => {
  for (const name of ['host', 'HOST', 'hOsT']) {
    assert.deepEqual(hostOfRequest(['Link', 'no', 'Vary', 'no', name, 'a.test'], '/', 1), {
      host: 'a.test',
      target: '/',
      authority: undefined,
    })
  }
})

test('a header value that reads host is not a header', () => {
  assert.deepEqual(hostOfRequest(['X-A', 'Host', 'Host', 'a.test'], '/', 1), {
    host: 'a.test',
    target: '/',
    authority: undefined,
  })
})

const ABSOLUTE: [url: string, host: string, target: string, authority: string][] = [
  ['http://a.test/x?y=1', 'a.test', '/x?y=1', 'a.test'],
  ['HTTP://A.test:81/x', 'a.test', '/x', 'A.test:81'],
  ['https://a.test', 'a.test', '/', 'a.test'],
  ['http://a.test?y', 'a.test', '/?y', 'a.test'],
  ['http://[::1]:80/', '[::1]', '/', '[::1]:80'],
  ['http://a.test//b/../c', 'a.test', '//b/../c', 'a.test'],
]

for (const [url, host, target, authority] of ABSOLUTE) {
  test(`the target ${url} goes before the Host header`, () => {
    assert.deepEqual(hostOfRequest(HOST, url, 1), { host, target, authority })
  })
}

test('a target of HTTP/1.0 in absolute form needs no Host header', () => {
  assert.deepEqual(hostOfRequest([], 'http://a.test/x', 0), { host: 'a.test', target: '/x', authority: 'a.test' })
})

test('the asterisk form takes its host from the Host header', () => {
  assert.deepEqual(hostOfRequest(HOST, '*', 1), { host: 'example.com', target: '*', authority: undefined })
})

test('HTTP/1.0 without a Host header, or with an empty one, is for the default site', () => {
  assert.deepEqual(hostOfRequest(['Accept', '*/*'], '/', 0), { host: '', target: '/', authority: undefined })
  assert.deepEqual(hostOfRequest(['Host', ''], '/', 0), { host: '', target: '/', authority: undefined })
})

test('letters of an IDN that come as UTF-8 mean its ASCII form', () => {
  const bytes = Buffer.from('Bücher.example:80').toString('latin1')

  assert.deepEqual(hostOfRequest(['Host', bytes], '/', 1), {
    host: 'xn--bcher-kva.example',
    target: '/',
    authority: undefined,
  })
})

const BAD: [what: string, headers: string[], url: string, httpMinor: number, reason: RegExp][] = [
  ['no Host in HTTP/1.1', ['Accept', '*/*'], '/', 1, /no Host header/],
  ['an empty Host in HTTP/1.1', ['Host', ''], '/', 1, /not the name/],
  ['two Hosts', ['Host', 'a.test', 'host', 'b.test'], '/', 1, /more than one/],
  ['two Hosts that are the same', ['Host', 'a.test', 'Host', 'a.test'], '/', 1, /more than one/],
  ['two Hosts in HTTP/1.0', ['Host', 'a.test', 'Host', 'a.test'], '/', 0, /more than one/],
  ['a blank in the Host', ['Host', 'a b'], '/', 1, /not the name/],
  ['a list of Hosts', ['Host', 'a.test, b.test'], '/', 1, /not the name/],
  ['a user in the Host', ['Host', 'u@a.test'], '/', 1, /not the name/],
  ['a malformed Host in HTTP/1.0', ['Host', 'a b'], '/', 0, /not the name/],
  ['bytes that are not UTF-8', ['Host', 'b\xfccher.example'], '/', 1, /not the name/],
  ['no Host beside an absolute target', [], 'http://a.test/', 1, /no Host header/],
  ['a malformed Host beside an absolute target', ['Host', 'a b'], 'http://a.test/', 1, /not the name/],
  ['two Hosts beside an absolute target', ['Host', 'a', 'Host', 'a'], 'http://a.test/', 1, /more than one/],
  ['an absolute target without host', HOST, 'http:///x', 1, /does not name a host/],
  ['an absolute target with a user', HOST, 'http://u:p@a.test/', 1, /does not name a host/],
  ['an absolute target with a bad port', HOST, 'http://a.test:99999/', 1, /does not name a host/],
  ['a target of another scheme', HOST, 'ftp://a.test/', 1, /neither a path nor a URL/],
  ['a target in authority form', HOST, 'a.test:443', 1, /neither a path nor a URL/],
  ['a target with a fragment', HOST, 'http://a.test/x#y', 1, /neither a path nor a URL/],
  ['an empty target', HOST, '', 1, /neither a path nor a URL/],
]

for (const [what, headers, url, httpMinor, reason] of BAD) {
  test(`${what} is a bad request`, () => {
    const answer = hostOfRequest(headers, url, httpMinor)

    assert.ok('status' in answer)
    assert.equal(answer.status, 400)
    assert.match(answer.reason, reason)
  })
}

/** What Node's own parser makes of bytes on a socket. */
async function throughNode(t: TestContext, bytes: Buffer): Promise<ReturnType<typeof hostOfRequest>> {
  const server = createServer({ requireHostHeader: false }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  t.after(() => {
    socket.destroy()
    server.close()
  })
  socket.write(bytes)
  const [req] = await once(server, 'request', { signal: AbortSignal.timeout(5_000) })
  return hostOfRequest(req.rawHeaders, req.url, req.httpVersionMinor)
}

test('bytes on a real socket give the host: two Hosts, an absolute target, UTF-8', async (t) => {
  const two = await throughNode(t, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n'))
  const absolute = await throughNode(t, Buffer.from('GET http://B.test:1/x HTTP/1.1\r\nHost: a\r\n\r\n'))
  const utf8 = await throughNode(t, Buffer.from('GET / HTTP/1.1\r\nHost: bücher.example\r\n\r\n'))

  assert.deepEqual(two, { status: 400, reason: 'the request has more than one Host header' })
  assert.deepEqual(absolute, { host: 'b.test', target: '/x', authority: 'B.test:1' })
  assert.deepEqual(utf8, { host: 'xn--bcher-kva.example', target: '/', authority: undefined })
})
