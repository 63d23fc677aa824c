import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ListenAddress } from '../../src/config/listen.ts'
import { boundTogether, coveredBy, formatListenAddress, readListenAddress } from '../../src/config/listen.ts'

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
  ['http://x:80', '"http://x" is neither an IP address nor a host name'],
  ['unix:', 'the path is missing'],
  ['unix:~/a', '"~/a": only a shell knows ~: write the whole path'],
]
for (const [text, cure] of [
  [':80', 'write 80 for all interfaces'],
  ['/run/a.sock', 'write unix:/run/a.sock for a socket'],
  ['ssl', 'addresses for HTTPS, with HTTP/2, are those of listen_tls'],
  ['default_server', 'the site for all other hosts is named by default_site'],
  ['proxy_protocol', 'write proxy_protocol = yes, with trusted_proxies'],
  ['ipv6only=on', 'leave it out'],
] as const) {
  test(`"${text}" is refused with what it is here`, () => {
    assert.deepEqual(readListenAddress(text), { problem: `"${text}" is not an address to listen on: ${cure}` })
  })
}

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

const tcp = (text: string): ListenAddress => {
  const read = readListenAddress(text)
  assert.ok('value' in read)
  return read.value
}

test('all interfaces of IPv6 are bound alone where those of IPv4 are named too', () => {
  const all = ['[::]:80', '0.0.0.0:80', '443', '0.0.0.0:8443'].map(tcp)

  const bound = boundTogether(all, all)

  assert.deepEqual(bound.map(isIpv6Only), [true, false, false, false])
  assert.deepEqual(boundTogether([tcp('443')], [...all, tcp('0.0.0.0:443')]).map(isIpv6Only), [true])
})

test('what is part of all interfaces cannot be bound beside them', () => {
  const cases: [address: string, all: string[], whole: string | undefined][] = [
    ['127.0.0.1:80', ['80'], '[::]:80'],
    ['127.0.0.1:80', ['[::]:80', '0.0.0.0:80'], '0.0.0.0:80'],
    ['[::1]:80', ['80'], '[::]:80'],
    ['[::1]:80', ['0.0.0.0:80'], undefined],
    ['localhost:80', ['80'], '[::]:80'],
    ['127.0.0.1:81', ['80'], undefined],
    ['127.0.0.1:0', ['*:0'], undefined],
    ['0.0.0.0:80', ['80'], undefined],
  ]
  for (const [address, all, whole] of cases) {
    const found = coveredBy(tcp(address), all.map(tcp))
    assert.equal(found && formatListenAddress(found), whole, `${address} beside ${all.join()}`)
  }
})

function isIpv6Only(address: ListenAddress): boolean {
  return address.kind === 'tcp' && address.isIpv6Only === true
}
