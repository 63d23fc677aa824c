import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadServer } from '../../src/config/load-server.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblems } from '../../src/config/problems.ts'
import { configFolder, siteText } from './config-folder.ts'

const READY = '[server]\nlisten_tls = 127.0.0.1:8443\n[acme]\nagree = yes\n'

/** Problems of vhostel.ini, one line each. */
function serverProblems(t: TestContext, text: string, more: Record<string, string> = {}): string {
  const folder = configFolder(t, { 'vhostel.ini': text, ...more })
  return renderProblems(loadServer(folder.path('vhostel.ini')).problems, folder.dir)
}

function site(t: TestContext, domains: string, more: string, server = READY, files: Record<string, string> = {}) {
  const folder = configFolder(t, { 'vhostel.ini': server, 'sites-enabled/a.ini': siteText(domains, more), ...files })
  const load = loadSite(folder.path('sites-enabled/a.ini'), folder.server())
  const lines = (problems: typeof load.problems): string[] => renderProblems(problems, folder.dir).split('\n')
  return { names: load.config?.acme?.names, problems: lines(load.problems), warnings: lines(load.warnings) }
}

test('[acme] has good defaults, and paths start at the folder of vhostel.ini', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[acme]\nca_file = ca.pem\n',
    'ca.pem': '-----BEGIN CERTIFICATE-----',
  })

  assert.deepEqual(folder.server().acme, {
    directory: 'https://acme-v02.api.letsencrypt.org/directory',
    agree: false,
    email: undefined,
    challenge: 'auto',
    state: folder.path('state'),
    caFile: folder.path('ca.pem'),
    externalAccount: undefined,
  })
})

test('each wrong value of [acme] is told with its line', (t) => {
  const problems = serverProblems(
    t,
    [
      '[acme]',
      'directory = http://ca.test/dir',
      'agree = maybe',
      'email = me@example.com?bcc=you@example.com',
      'challenge = dns-01',
      'state =',
      'ca_file = nowhere.pem',
      'colour = red',
    ].join('\n'),
  )

  assert.match(problems, /^vhostel\.ini:2: \[acme\] directory: "http:\/\/ca\.test\/dir" is not a https URL/m)
  assert.match(problems, /^vhostel\.ini:3: \[acme\] agree: "maybe" is neither yes nor no/m)
  assert.match(problems, /^vhostel\.ini:4: \[acme\] email: .* is not an e-mail address/m)
  assert.match(problems, /^vhostel\.ini:5: \[acme\] challenge: "dns-01" is not one of auto, http-01, tls-alpn-01/m)
  assert.match(problems, /^vhostel\.ini:6: \[acme\] state: is empty/m)
  assert.match(problems, /^vhostel\.ini:7: \[acme\] ca_file: ".*nowhere\.pem" does not exist/m)
  assert.match(problems, /^vhostel\.ini:8: \[acme\] colour/m)
})

test('an external account has an id and a key, and the key is never shown', (t) => {
  const key = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'
  const folder = configFolder(t, { 'vhostel.ini': `[acme]\neab_kid = kid-1\neab_hmac_key = ${key}==\n` })

  assert.deepEqual(folder.server().acme.externalAccount, { kid: 'kid-1', hmacKey: `${key}==` })
  assert.equal(
    serverProblems(t, '[acme]\neab_kid = kid-1\n'),
    'vhostel.ini:2: [acme] eab_kid: has no use without eab_hmac_key: write both',
  )
  assert.equal(
    serverProblems(t, `[acme]\neab_hmac_key = ${key}\n`),
    'vhostel.ini:2: [acme] eab_hmac_key: has no use without eab_kid: write both',
  )
  const wrong = serverProblems(t, `[acme]\neab_kid = kid-1\neab_hmac_key = ${key} ${key}\n`)
  assert.match(wrong, /^vhostel\.ini:3: \[acme\] eab_hmac_key: is not a key in base64url, [^\n]*$/)
  assert.ok(!wrong.includes(key))
})

test('a ca_file without a certificate is told', (t) => {
  assert.match(
    serverProblems(t, '[acme]\nca_file = ca.pem\n', { 'ca.pem': 'hello' }),
    /^vhostel\.ini:2: \[acme\] ca_file: ".*ca\.pem" has no certificate in it/,
  )
})

test('a certificate is asked for the names that are written out, and each other domain is told with its line', (t) => {
  const domains =
    'example.com, .shop.example.com,\n  *.blog.example.com, www.*\n  ~^x\\d+\\.example\\.com$, b_c.example.com'
  const { names, problems, warnings } = site(t, `${domains}\n  192.0.2.1 [2001:db8::1] bücher.example`, 'tls = auto\n')

  assert.deepEqual(problems, [''])
  assert.deepEqual(names, ['example.com', 'shop.example.com'])
  assert.deepEqual(
    warnings.map((line) =>
      /^sites-enabled\/a\.ini:(\d+): \[site\] domains: no certificate for ("[^"]+"|'[^']+'): /.exec(line)?.slice(1, 3),
    ),
    [
      ['2', '".shop.example.com"'],
      ['3', '"*.blog.example.com"'],
      ['3', '"www.*"'],
      ['4', '"~^x\\d+\\.example\\.com$"'],
      ['4', '"b_c.example.com"'],
      ['5', '"192.0.2.1"'],
      ['5', '"[2001:db8::1]"'],
      ['5', '"bücher.example"'],
    ],
  )
})

test('names that exist only inside are asked for from a private server, and from no public one', (t) => {
  const inside = 'localhost, a.test, nas.internal, printer.local, intranet, x.home.arpa'
  const server = READY.replace('agree', 'ca_file = ca.pem\nagree')
  const files = { 'ca.pem': '-----BEGIN CERTIFICATE-----' }

  assert.deepEqual(site(t, `example.com, ${inside}`, 'tls = auto\n').names, ['example.com'])
  assert.deepEqual(site(t, inside, 'tls = auto\n', server, files).names, inside.split(', '))
  assert.match(site(t, inside, 'tls = auto\n').problems.join(), /a\.ini:5: \[site\] tls: auto has no use here/)
})

test('tls = auto needs a listener for TLS, and the word that the terms are agreed to', (t) => {
  const files = { 'ca.pem': '', 'cert.pem': '', 'key.pem': '' }
  const problems = (server: string, more = 'tls = auto\n') =>
    site(t, 'example.com', more, server, files).problems[0] ?? ''

  assert.match(
    problems('[acme]\nagree = yes\n'),
    /a\.ini:5: \[site\] tls: auto has no use without TLS: .*listen_tls = 443/,
  )
  assert.match(problems('[server]\nlisten_tls = 8443\n'), /a\.ini:5: \[site\] tls: auto needs your word .* agree = yes/)
  assert.equal(problems('', 'tls = off\n'), '')
  assert.match(problems('', 'tls = on\n'), /a\.ini:5: \[site\] tls: "on" is not one of off, auto/)
  const both = site(
    t,
    'example.com',
    'tls = auto\ncertificate = ../cert.pem\nkey = ../key.pem\n',
    READY,
    files,
  ).problems
  assert.match(both.join('\n'), /a\.ini:5: \[site\] tls: auto: the site names a certificate of its own/)
})

test('tls = auto for all sites is told once where it cannot be, and is no problem of a site that has no use for it', (t) => {
  const auto = '[defaults]\ntls = auto\n'
  const names = Array.from({ length: 101 }, (_, index) => `n${index}.example.com`).join(' ')

  assert.match(
    serverProblems(t, `[server]\nlisten_tls = 8443\n${auto}`),
    /^vhostel\.ini:4: \[defaults\] tls: auto needs/,
  )
  assert.match(serverProblems(t, auto), /^vhostel\.ini:2: \[defaults\] tls: auto has no use without TLS/)
  const inside = site(t, 'a.test, *.b.test', '', READY + auto)
  assert.deepEqual([inside.names, inside.problems, inside.warnings], [undefined, [''], ['']])
  assert.deepEqual(site(t, 'example.com', 'tls = off\n', READY + auto).names, undefined)
  assert.deepEqual(site(t, 'example.com', '', READY + auto).names, ['example.com'])
  assert.match(site(t, names, '', READY + auto).problems.join(), /\[site\] tls: auto: 101 names are more than the 100/)
})
