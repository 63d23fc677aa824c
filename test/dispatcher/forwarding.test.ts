import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ForwardedClient } from '../../src/dispatcher/proxy/forwarding.ts'
import { answerHeaders, answerTrailers, requestHeaders } from '../../src/dispatcher/proxy/forwarding.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'

const CLIENT: ForwardedClient = { address: '192.0.2.1', protocol: 'https', host: 'a.test', port: 443 }
const SAID = [
  ...['X-Forwarded-For', '192.0.2.1', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'a.test'],
  ...['X-Forwarded-Port', '443', 'Forwarded', 'for=192.0.2.1;proto=https;host=a.test'],
]

/** What the function looks at of a visit. */
function visit(rawHeaders: string[], captures?: Record<string, string>): Visit {
  const match = captures === undefined ? { pattern: { kind: 'exact' } } : { pattern: { kind: 'regex' }, captures }
  return { req: { rawHeaders, httpVersionMinor: 1 }, match } as unknown as Visit
}

test('headers for one hop go, with those that Connection names, and who asked is said by the server alone', () => {
  const sent = [
    ...['Host', 'evil.test', 'Accept', '*/*', 'CONNECTION', 'Close, x-secret ,Content-Length', 'X-Secret', '1'],
    ...[
      'Content-Length',
      '3',
      'TE',
      'gzip;q=0.5',
      'X-FORWARDED-FOR',
      '6.6.6.6',
      'X_Forwarded_Proto',
      'http',
      'Cookie',
      'a=1',
    ],
    ...['Cookie', 'b=2', 'Proxy', 'x', 'X-Vhostel-User', 'mine', 'Trailer', 'X-Sum', 'Expect', '100-continue'],
  ]

  assert.deepEqual(requestHeaders(visit(sent), CLIENT), [
    ...['Host', 'a.test', 'Accept', '*/*', 'Content-Length', '3', 'Cookie', 'a=1', 'Cookie', 'b=2'],
    ...['X-Vhostel-User', 'mine', ...SAID],
  ])
})

test('of TE only it is told that the client takes trailers', () => {
  for (const te of ['trailers', 'deflate;q=0.5, Trailers']) {
    assert.deepEqual(requestHeaders(visit(['TE', te, 'Connection', 'TE']), CLIENT).slice(2, 4), ['TE', 'trailers'], te)
  }
  assert.equal(requestHeaders(visit(['TE', 'trailers-not']), CLIENT).includes('TE'), false)
})

test('captures come from the rule of the host, never from the client', () => {
  const headers = requestHeaders(visit(['x-vhostel-user', 'mine', 'X_VHOSTEL_USER', 'mine'], { user: 'ann' }), CLIENT)

  assert.deepEqual(headers, ['Host', 'a.test', 'X-Vhostel-user', 'ann', ...SAID])
})

test('RFC 7239: an IPv6 address stands in brackets and quotes, a host with a port in quotes, none is unknown', () => {
  const forwarded = (client: ForwardedClient): string => requestHeaders(visit([]), client).at(-1) ?? ''

  const six = { ...CLIENT, address: '2001:db8::1', host: '[2001:db8::2]:8443' }
  assert.equal(forwarded(six), 'for="[2001:db8::1]";proto=https;host="[2001:db8::2]:8443"')
  assert.equal(
    forwarded({ address: undefined, protocol: 'http', host: undefined, port: undefined }),
    'for=unknown;proto=http',
  )
})

test('an answer keeps what frames it until that is checked, and its trailers lose what belongs in a head', () => {
  const raw = ['Connection', 'X-A', 'X-A', '1', 'Transfer-Encoding', 'chunked', 'Content-Length', '1', 'X-B', '\xff']
  const bytes = raw.map((one) => Buffer.from(one, 'latin1'))

  assert.deepEqual(answerHeaders(bytes), ['Transfer-Encoding', 'chunked', 'Content-Length', '1', 'X-B', '\xff'])
  assert.deepEqual(answerTrailers(bytes), ['X-B', '\xff'])
  assert.deepEqual(answerTrailers([]), [])
})
