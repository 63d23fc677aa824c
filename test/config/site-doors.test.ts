import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readHtpasswd } from '../../src/config/htpasswd.ts'
import { loadServer } from '../../src/config/load-server.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { addressSet, readNetwork } from '../../src/config/network.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { rate } from '../../src/config/rate.ts'
import { configFolder } from './config-folder.ts'

const HASH = '$2y$04$GPNzp4u3NwDc0wPB3rEo1u5RlA/1SnSlg9b8ipivaTq3hwRZh6qfa'
const SITE = '[site]\ndomains = a.test\nroot = ../www\n'

/** The settings of a site with these lines, or its problems. */
function doorsOf(t: Parameters<typeof configFolder>[0], lines: string, files: Record<string, string> = {}) {
  const folder = configFolder(t, {
    'vhostel.ini': '',
    'www/index.html': '',
    'sites-enabled/a.ini': `${SITE}${lines}`,
    ...files,
  })
  const { draft } = loadServer(folder.path('vhostel.ini'))
  const load = loadSite(folder.path('sites-enabled/a.ini'), draft)
  const problems = load.problems.map((problem) => renderProblem(problem, draft.dir).replaceAll(`${draft.dir}/`, ''))
  return { doors: load.config?.doors, problems, dependencies: load.dependencies }
}

test('all doors of a site are read', (t) => {
  const { doors, problems } = doorsOf(
    t,
    `[door]
allow = 10.0.0.0/8, ::1
  unix
deny = 10.0.0.1
rate = 100/m burst 7
auth = ../htpasswd
realm = The kitchen
[headers]
X-Frame-Options = DENY
Server =
[errors]
404 = errors/404.html
5xx = missing.txt`,
    { htpasswd: `# cooks\n\nann:${HASH}\r\nbob:${HASH}\n`, 'www/errors/404.html': '<p>none' },
  )

  assert.deepEqual(problems, [])
  assert.deepEqual(doors, {
    allow: ['10.0.0.0/8', '::1', 'unix'],
    deny: ['10.0.0.1'],
    rate: { count: 100, perMs: 60_000, burst: 7 },
    auth: { realm: 'The kitchen', users: { ann: HASH, bob: HASH } },
    headers: [
      ['X-Frame-Options', 'DENY'],
      ['Server', undefined],
    ],
    errors: { 404: { type: 'text/html; charset=utf-8', body: '<p>none' } },
  })
})

test('what is wrong with the doors is told with its line', (t) => {
  const { problems } = doorsOf(
    t,
    `[door]
allow = 10.0.0/8
deny = 10.0.0.0/33 fe80::1%eth0
rate = fast
auth = ../htpasswd
realm = "a""
[headers]
Content-Length = 5
connection = close
A.B = "a\\nb"
X = 1
x = 2
[errors]
200 = ok.html
4x = a.html
500 = page.php`.replace('realm = "a""\n', ''),
    { htpasswd: `ann:$apr1$x$y\nbob:secret\n:x\ncid:${HASH}\ncid:${HASH}\ndot:$2y$20$${HASH.slice(7)}\n` },
  )

  assert.deepEqual(problems.toSorted(), [
    'htpasswd:1: the password of "ann" is MD5 (apr1), not bcrypt: make it anew with htpasswd -B',
    'htpasswd:2: the password of "bob" is no hash that is known, or the password itself, not bcrypt: make it anew with htpasswd -B',
    'htpasswd:3: is not name:hash',
    'htpasswd:5: "cid" is there twice: take one away',
    'htpasswd:6: the password of "dot" has the cost 20, which takes seconds to check; at most 14: make it anew with htpasswd -B',
    'sites-enabled/a.ini:10: [headers] Content-Length: is not yours to set: the server says how an answer is sent',
    'sites-enabled/a.ini:11: [headers] connection: is not yours to set: the server says how an answer is sent',
    'sites-enabled/a.ini:12: [headers] A.B: "a?b" cannot be sent: only visible characters of ASCII can',
    'sites-enabled/a.ini:14: [headers] x: is set twice, with other letters: take one away',
    'sites-enabled/a.ini:16: [errors] 200: is not a status of an error: write one such as 404, or 4xx or 5xx for all of them',
    'sites-enabled/a.ini:17: [errors] 4x: is not a status of an error: write one such as 404, or 4xx or 5xx for all of them',
    'sites-enabled/a.ini:18: [errors] 500: "page.php" is not a page: its name has to end in .html, .htm, .txt, .json, .xml',
    'sites-enabled/a.ini:5: [door] allow: "10.0.0/8" is not a network (such as 192.0.2.7, 10.0.0.0/8, 2001:db8::/32 or unix)',
    'sites-enabled/a.ini:6: [door] deny: "10.0.0.0/33": the prefix has at most 32 bits',
    'sites-enabled/a.ini:6: [door] deny: "fe80::1%eth0": an address with a zone cannot stand here',
    'sites-enabled/a.ini:7: [door] rate: "fast" is not a rate (such as 10/s, 100/m or 10/s burst 20)',
  ])
})

test('a password file that is missing, empty or served is a problem, and is watched', (t) => {
  const missing = doorsOf(t, '[door]\nauth = ../htpasswd')
  const empty = doorsOf(t, '[door]\nauth = ../htpasswd', { htpasswd: '# nobody\n' })
  const served = doorsOf(t, '[door]\nauth = ../www/htpasswd', { 'www/htpasswd': `a:${HASH}` })

  assert.deepEqual(missing.problems, ['sites-enabled/a.ini:5: [door] auth: htpasswd does not exist'])
  assert.equal(missing.dependencies.filter((path) => path.endsWith('/htpasswd')).length, 1)
  assert.match(empty.problems.join(), /names nobody: add a user/)
  assert.match(served.problems.join(), /lies in the root of the site, which is served: move it elsewhere/)
})

test('a damaged hash is never taken, and never shown', () => {
  const { users, problems } = readHtpasswd(`a:${HASH.slice(0, -1)}\nb:${HASH}x\nc:$2y$03$${HASH.slice(7)}`)

  assert.deepEqual(users, {})
  assert.equal(problems.length, 3)
  assert.ok(!JSON.stringify(problems).includes(HASH.slice(10, 30)))
})

test('addresses are found in networks of their family, mapped ones in those of IPv4', () => {
  const set = addressSet(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1'])
  const yes = ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.7', '2001:db8:1::5', '::1']
  const no = ['11.0.0.1', '192.0.2.8', '2001:db9::1', '', 'unix', 'nonsense', '::ffff:11.0.0.1']

  assert.deepEqual(
    yes.filter((address) => !set.has(address)),
    [],
  )
  assert.deepEqual(
    no.filter((address) => set.has(address)),
    [],
  )
  assert.equal(addressSet(['unix']).has(''), true)
  assert.ok('problem' in readNetwork('10.0.0.0/8/8'))
})

test('rates are read and written', () => {
  for (const written of ['10/s', '10/s burst 20', '1/h', '100/m burst 1'])
    assert.equal(rate.encode(rate.decode(written)), written)
  for (const wrong of ['', '10', '0/s', '10/d', '10/s burst', '10/s burst 0', '-1/s', '1.5/s', '9999999/s']) {
    assert.equal(rate.safeParse(wrong).success, false, wrong)
  }
})

test('proxy_protocol needs to know who may send it', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[server]\nproxy_protocol = yes\nheader_size = 10B\nheader_count = 5000\n',
  })

  const { problems, draft } = loadServer(folder.path('vhostel.ini'))

  assert.deepEqual(
    problems.map((problem) => renderProblem(problem, draft.dir)),
    [
      'vhostel.ini:2: [server] proxy_protocol: is of no use without trusted_proxies: name the balancers that send it (such as trusted_proxies = 10.0.0.0/8)',
      'vhostel.ini:3: [server] header_size: "10B" is too small: at least 1KB',
      'vhostel.ini:4: [server] header_count: 5000 is out of range: 1 to 1999',
    ],
  )
})

test('proxies that are named wrongly are not said to be missing besides', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[server]\nproxy_protocol = yes\ntrusted_proxies = balancer\n',
  })

  const { problems } = loadServer(folder.path('vhostel.ini'))

  assert.deepEqual(
    problems.map(({ key }) => key),
    ['trusted_proxies'],
  )
})
