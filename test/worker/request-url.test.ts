import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RequestHead } from '../../src/protocol/frames.ts'
import { requestUrl } from '../../src/worker/request-url.ts'

const head = (url: string, host?: string, more: Partial<RequestHead> = {}): RequestHead => ({
  generation: 1,
  method: 'GET',
  url,
  httpMinor: 1,
  headers: host === undefined ? [] : ['Accept', '*/*', 'Host', host],
  remoteAddress: '',
  remotePort: 0,
  localAddress: '127.0.0.1',
  localPort: 8080,
  encrypted: false,
  keepAlive: true,
  upgrade: false,
  ...more,
})

const rows: [string, RequestHead, string][] = [
  ['a plain one', head('/a?b=c', 'example.com'), 'http://example.com/a?b=c'],
  ['with a port', head('/', 'example.com:8080'), 'http://example.com:8080/'],
  ["with its scheme's own port", head('/', 'example.com:80'), 'http://example.com/'],
  ['over TLS', head('/', 'example.com', { encrypted: true }), 'https://example.com/'],
  ['with capitals in the host', head('/', 'EXAMPLE.com'), 'http://example.com/'],
  ['with dot segments', head('/a/../b/./c', 'example.com'), 'http://example.com/b/c'],
  ['with letters beyond ASCII', head('/\u00fc', 'example.com'), 'http://example.com/%C3%BC'],
  ['of an IPv6 host', head('/', '[::1]:8080'), 'http://[::1]:8080/'],
  ['of an IPv4 host', head('/', '127.0.0.1:80'), 'http://127.0.0.1/'],
  ['of a number for a host', head('/', '0x7f000001'), 'http://127.0.0.1/'],
  ['of a name in Punycode', head('/', 'xn--bcher-kva.example'), 'http://xn--bcher-kva.example/'],
  ['without a host', head('/x'), 'http://127.0.0.1:8080/x'],
  ['without a host, on IPv6', head('/x', undefined, { localAddress: '::1' }), 'http://[::1]:8080/x'],
  ['of OPTIONS *', head('*', 'example.com'), 'http://example.com/*'],
  ['of a host that is none', head('/x', 'a b'), 'http://localhost/'],
]

for (const [name, given, url] of rows) {
  test(`the URL ${name}`, () => {
    assert.equal(requestUrl(given), url)
  })
}

test('the short way gives what URL gives', () => {
  const host = fc.stringMatching(/^[a-zA-Z0-9._-]{1,12}(:[0-9]{1,5})?$/)
  const path = fc.string({ unit: fc.constantFrom(...'/.?#%&=abcZ09~!$\'()*+,;:@[]_-^`"<>|\\ ') })

  fc.assert(
    fc.property(host, path, (name, rest) => {
      const expected = URL.parse(`http://${name}/${rest}`)
      fc.pre(expected !== null)

      assert.equal(requestUrl(head(`/${rest}`, name)), expected?.href)
    }),
    { numRuns: 5000 },
  )
})
