import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatListenAddress, readListenAddress } from '../../src/config/listen.ts'

const GOOD: [text: string, expected: object, written?: string][] = [
  ['127.0.0.1:8080', { kind: 'tcp', host: '127.0.0.1', port: 8080 }],
  ['127.0.0.1:0', { kind: 'tcp', host: '127.0.0.1', port: 0 }],
  ['8080', { kind: 'tcp', host: '::', port: 8080 }, '[::]:8080'],
  ['*:80', { kind: 'tcp', host: '::', port: 80 }, '[::]:80'],
  ['[::1]:8080', { kind: 'tcp', host: '::1', port: 8080 }],
  ['[fe80::1%eth0]:80', { kind: 'tcp', host: 'fe80::1%eth0', port: 80 }],
  ['localhost:65535', { kind: 'tcp', host: 'localhost', port: 65535 }],
  ['unix:run/web.sock', { kind: 'unix', path: 'run/web.sock' }],
  ['unix:/run/web.sock', { kind: 'unix', path: '/run/web.sock' }],
]
for (const [text, expected, written = text] of GOOD) {
  test(`"${text}" is an address, and is written back as ${written}`, () => {
    const result = readListenAddress(text)

    assert.deepEqual(result, { value: expected })
    assert.equal('value' in result && formatListenAddress(result.value), written)
  })
}

const BAD: [text: string, reason: string][] = [
  ['localhost', 'the port is missing'],
  ['127.0.0.1', 'the port is missing'],
  ['::1', 'an IPv6 address is written in brackets'],
  ['::', 'write [::]:8080'],
  ['fe80::abcd', 'write [fe80::abcd]:8080'],
  ['::1:80', 'an IPv6 address is written in brackets'],
  ['[1.2.3.4]:80', '"[1.2.3.4]" is neither an IP address nor a host name'],
  ['1.2.3:80', '"1.2.3" is neither an IP address nor a host name'],
  ['127.0.0.1:65536', 'port 65536 is more than 65535'],
  [':80', '"" is neither an IP address nor a host name'],
  ['http://x:80', '"http://x" is neither an IP address nor a host name'],
  ['unix:', 'the path is missing'],
]
for (const [text, reason] of BAD) {
  test(`"${text}" is refused, because ${reason}`, () => {
    const result = readListenAddress(text)

    assert.ok('problem' in result)
    assert.equal(
      result.problem,
      `"${text}" is not an address to listen on: ${reason} (such as 127.0.0.1:8080, [::1]:8080, *:80, 8080 or unix:run/web.sock)`,
    )
  })
}
