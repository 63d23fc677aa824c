import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { formatUpstream } from '../../src/config/site-backend.ts'
import { makePair } from '../helpers/certificates.ts'
import { configFolder } from './config-folder.ts'

function load(t: TestContext, upstream: string, proxy = '', files: Record<string, string> = {}) {
  const text = `[site]\ndomains = a.test\nupstream = ${upstream}\n[proxy]\n${proxy}\n`
  const folder = configFolder(t, { 'sites-enabled/site.ini': text, ...files })
  const { config, problems, dependencies } = loadSite(folder.path('sites-enabled/site.ini'), folder.server(), {})
  const lines = problems.map((problem) => renderProblem(problem, folder.dir).replaceAll(folder.dir, 'DIR'))
  return { backend: config?.backend, problems: lines, dependencies, folder }
}

test('upstreams are read, and written back, with and without TLS', (t) => {
  const { backend, problems } = load(t, 'http://[::1]:81, https://backend.example https://[::1]:8443 unix:/run/a.sock')
  assert.deepEqual(problems, [])
  assert.deepEqual(backend?.upstreams.map(formatUpstream), [
    'http://[::1]:81',
    'https://backend.example:443',
    'https://[::1]:8443',
    'unix:/run/a.sock',
  ])
  assert.deepEqual(backend?.proxy.tls, { ca: undefined, isVerified: true, name: undefined })
  assert.equal(backend?.proxy.hostHeader, 'visitor')
})

test('the CAs of an upstream are read with the site, and a change of them is one of the site', (t) => {
  const { cert } = makePair(['backend.example'])
  const proxy = 'tls_ca = ../ca.pem\ntls_name = backend.example\nhost_header = upstream'
  const { backend, problems, dependencies, folder } = load(t, 'https://10.0.0.1', proxy, {
    'ca.pem': `# ours\n${cert}`,
  })
  assert.deepEqual(problems, [])
  assert.deepEqual(backend?.proxy.tls, { ca: cert.trim(), isVerified: true, name: 'backend.example' })
  assert.equal(backend?.proxy.hostHeader, 'upstream')
  assert.ok(dependencies.includes(folder.path('ca.pem')))
})

test('what is wrong with TLS to upstreams is told with its line', (t) => {
  const files = { 'not.pem': 'hello', 'half.pem': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }
  const problem = (upstream: string, proxy: string) => load(t, upstream, proxy, files).problems
  assert.deepEqual(problem('https://a.test/path', ''), [
    'sites-enabled/site.ini:3: [site] upstream: "https://a.test/path" is not an upstream: write http://HOST:PORT or https://HOST:PORT without a path, or unix:/PATH',
  ])
  for (const nginx of ['http://unix:/run/app.sock', 'http://unix:/run/app.sock:/', 'http://unix:/run/app.sock:/api']) {
    assert.deepEqual(problem(nginx, ''), [
      `sites-enabled/site.ini:3: [site] upstream: "${nginx}" is not an upstream: write unix:/run/app.sock`,
    ])
  }
  const of = (key: string, text: string) => [`sites-enabled/site.ini:5: [proxy] ${key}: ${text}`]
  assert.deepEqual(
    problem('http://a.test', 'tls_verify = no'),
    of('tls_verify', 'has no use: no upstream of this site begins with https://'),
  )
  assert.deepEqual(
    problem('https://a.test', 'tls_name = 10.0.0.1'),
    of('tls_name', '"10.0.0.1" is not the name of a host (such as backend.example)'),
  )
  assert.deepEqual(problem('https://a.test', 'tls_ca = ../none.pem'), of('tls_ca', 'DIR/none.pem does not exist'))
  assert.deepEqual(
    problem('https://a.test', 'tls_ca = ../not.pem'),
    of('tls_ca', 'DIR/not.pem has no certificate in it (a PEM file with -----BEGIN CERTIFICATE----- is expected)'),
  )
  assert.deepEqual(
    problem('https://a.test', 'tls_ca = ../half.pem'),
    of('tls_ca', 'DIR/half.pem: certificate 1 of it cannot be read: is it whole?'),
  )
  assert.deepEqual(
    problem('https://a.test', 'tls_ca = ../not.pem\ntls_verify = no').slice(0, 1),
    of('tls_ca', 'has no use with tls_verify = no: take one of the two away'),
  )
})

test('some paths for an upstream need a folder for all others, with try and not_found', (t) => {
  const files = { 'public/index.html': '' }
  const split = (proxy: string, more: string) => load(t, 'http://a.test', `${proxy}\n[static]\n${more}`, files)
  const { backend, problems } = split('paths = /api/, /ws', '/ = ../public\ntry = $uri, /index.html')
  assert.deepEqual([backend?.proxy.paths, problems], [['/api', '/ws'], []])

  assert.deepEqual(split('paths = /api', 'index = a.html').problems, [
    'sites-enabled/site.ini:5: [proxy] paths: needs a folder for all other paths: write / = public, or where it is, in [static]',
  ])
  assert.deepEqual(split('strip_path = yes', '/ = ../public\nindex = a.html').problems, [
    'sites-enabled/site.ini:5: [proxy] strip_path: has no use without paths: name there what is to be taken off',
  ])
  assert.deepEqual(split('paths = /, api, /a/../b', '/ = ../public').problems, [
    'sites-enabled/site.ini:5: [proxy] paths: "/" is not the beginning of a path as browsers send it (such as /api)',
    'sites-enabled/site.ini:5: [proxy] paths: "api" is not the beginning of a path as browsers send it (such as /api)',
    'sites-enabled/site.ini:5: [proxy] paths: "/a/../b" is not the beginning of a path as browsers send it (such as /api)',
  ])
  assert.deepEqual(split('', '/ = ../public\ntry = $uri, /index.html').problems, [
    'sites-enabled/site.ini:8: [static] try: has no use with kind = proxy: take the line away',
  ])
})
