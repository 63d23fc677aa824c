import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadAll } from '../../src/config/load-all.ts'
import { loadServer } from '../../src/config/load-server.ts'
import { renderProblem } from '../../src/config/problems.ts'
import type { ConfigFolder, Entry } from './config-folder.ts'
import { configFolder, siteText } from './config-folder.ts'

function problemsOf(folder: ConfigFolder): string[] {
  return loadServer(folder.path('vhostel.ini')).problems.map((problem) => renderProblem(problem, folder.dir))
}

test('an empty vhostel.ini gives every default', (t) => {
  const folder = configFolder(t)

  assert.deepEqual(folder.server(), {
    file: folder.path('vhostel.ini'),
    dir: folder.dir,
    listen: [{ kind: 'tcp', host: '127.0.0.1', port: 8080 }],
    listenTls: [],
    sites: folder.path('sites-enabled'),
    run: folder.path('run'),
    defaultSite: undefined,
    cacheMemoryBytes: 256 * 1024 ** 2,
    pools: [
      {
        name: 'default',
        processes: 'auto',
        threads: 'auto',
        memoryBytes: undefined,
        processMemoryBytes: undefined,
        threadMemoryBytes: 512 * 1024 ** 2,
        maxRequests: 0,
        maxAgeMs: 0,
        identity: undefined,
      },
    ],
    concurrency: 500,
    log: {
      level: 'info',
      format: 'auto',
      file: undefined,
      access: { file: undefined, format: 'vhost_timed' },
      files: { rotate: 100 * 1024 ** 2, keep: 5 },
    },
    errors: undefined,
    dependencies: [],
    defaults: { site: {}, limits: {}, static: {}, door: {}, proxy: {}, cache: {}, log: {} },
    front: {
      trustedProxies: undefined,
      proxyProtocol: false,
      headerBytes: 32 * 1024,
      headerCount: 200,
      headerTimeoutMs: 30_000,
      idleTimeoutMs: 65_000,
      connectionsPerAddress: 1000,
    },
    acme: {
      directory: 'https://acme-v02.api.letsencrypt.org/directory',
      agree: false,
      email: undefined,
      challenge: 'auto',
      state: folder.path('state'),
      caFile: undefined,
      externalAccount: undefined,
    },
    defaultSiteLine: undefined,
  })
})

test('every key is taken, and relative paths start at the folder of the file', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': `[server]
listen = 127.0.0.1:80, [::1]:80
  unix:run/web.sock
listen = *:8080
sites = enabled
run = ../run
default_site = home

[pool]
processes = 3
threads = 4
concurrency = 5

[defaults]
timeout = 5s
watch = on
index = a.html, b.html
index = c.html
`,
    'logging.ini': `[log]
level = debug
format = json
file = log/all.log

[access]
file = log/access.log
format = json

[files]
rotate = 10MB
keep = 30
`,
    enabled: 'folder',
  })

  const server = folder.server()

  assert.deepEqual(server.listen, [
    { kind: 'tcp', host: '127.0.0.1', port: 80 },
    { kind: 'tcp', host: '::1', port: 80 },
    { kind: 'unix', path: folder.path('run/web.sock') },
    { kind: 'tcp', host: '::', port: 8080 },
  ])
  assert.equal(server.sites, folder.path('enabled'))
  assert.equal(server.run, folder.path('../run'))
  assert.equal(server.defaultSite, 'home')
  assert.equal(server.defaultSiteLine, 7)
  assert.deepEqual(server.pools[0].processes, { min: 3, max: 3 })
  assert.deepEqual(server.pools[0].threads, { min: 4, max: 4 })
  assert.equal(server.concurrency, 5)
  assert.deepEqual(server.log, {
    level: 'debug',
    format: 'json',
    file: folder.path('log/all.log'),
    access: { file: folder.path('log/access.log'), format: 'json' },
    files: { rotate: 10 * 1024 ** 2, keep: 30 },
  })
  assert.deepEqual(server.defaults, {
    site: { watch: 'on' },
    limits: { timeout: '5s' },
    static: { index: ['a.html, b.html', 'c.html'] },
    door: {},
    proxy: {},
    cache: {},
    log: {},
  })
})

test('every problem of both files is told, in the order of files and lines', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': `[server]
listen = 80800
  8080 8080
runn = x
[pool]
threads = many
[defaults]
watch = maybe
timout = 3s
domains = a.com
listen = 80
[log]
level = info
`,
    'logging.ini': '[log]\nlevel = loud\n',
  })

  assert.deepEqual(problemsOf(folder), [
    'vhostel.ini:2: [server] listen: "80800" is not an address to listen on: port 80800 is more than 65535 (such as 127.0.0.1:8080, [::1]:8080, *:80, 8080 or unix:run/web.sock)',
    'vhostel.ini:4: [server] runn: the key is not known; did you mean run?',
    'vhostel.ini:6: [pool] threads: "many" is not auto, a range such as 1..4, or a whole number from 1 to 256',
    'vhostel.ini:8: [defaults] watch: "maybe" is neither yes nor no (yes, true or on; no, false or off)',
    'vhostel.ini:9: [defaults] timout: the key is not known; did you mean timeout?',
    "vhostel.ini:10: [defaults] domains: the key is not known here; it belongs in [site] of a site's own file",
    'vhostel.ini:11: [defaults] listen: the key is not known here; it belongs in [server]',
    'vhostel.ini:12: [log]: the section is not known here; it belongs in logging.ini',
    'logging.ini:2: [log] level: "loud" is not one of debug, info, warn, error',
  ])
  assert.equal(loadServer(folder.path('vhostel.ini')).config, undefined)
})

const FILES: [name: string, entries: Record<string, Entry>, problem: RegExp][] = [
  [
    'a section with a name that every object of JavaScript has',
    { 'vhostel.ini': '[valueOf]\nx = 1\n' },
    /^vhostel\.ini:1: \[valueOf\]: the section is not known$/,
  ],
  [
    'an address twice',
    { 'vhostel.ini': '[server]\nlisten = 8080 8080\n' },
    /^vhostel\.ini:2: .* \[::\]:8080 is named twice$/,
  ],
  [
    'an address for TLS twice',
    { 'vhostel.ini': '[server]\nlisten_tls = 443 443\n' },
    /^vhostel\.ini:2: \[server\] listen_tls: \[::\]:443 is named twice$/,
  ],
  [
    'one address for both',
    { 'vhostel.ini': '[server]\nlisten = 443\nlisten_tls = *:443\n' },
    /^vhostel\.ini:3: \[server\] listen_tls: \[::\]:443 is in listen too: one of the two can have it$/,
  ],
  [
    'an address of all interfaces and one of them',
    { 'vhostel.ini': '[server]\nlisten = 80, 127.0.0.1:80\n' },
    /^vhostel\.ini:2: .* 127\.0\.0\.1:80 is part of \[::\]:80, which is all interfaces: leave one of the two out$/,
  ],
  [
    'an address for TLS that is part of all interfaces',
    { 'vhostel.ini': '[server]\nlisten = 0.0.0.0:443\nlisten_tls = 10.0.0.1:443\n' },
    /^vhostel\.ini:3: \[server\] listen_tls: 10\.0\.0\.1:443 is part of 0\.0\.0\.0:443, which is all interfaces/,
  ],
  ['no address', { 'vhostel.ini': '[server]\nlisten =\n' }, /^vhostel\.ini:2: .* is empty: name at least one address/],
  [
    'a socket path that is too long',
    { 'vhostel.ini': `[server]\nlisten = unix:${'x'.repeat(107)}\n` },
    /^vhostel\.ini:2: .* is longer than the 107 bytes of a unix socket's path$/,
  ],
  [
    'a run folder that is too deep',
    { 'vhostel.ini': `[server]\nrun = ${'x/'.repeat(50)}\n` },
    /bytes: at most 80, because/,
  ],
  ['a run folder that is a file', { 'vhostel.ini': '[server]\nrun = vhostel.ini\n' }, /vhostel\.ini" is a file, not a/],
  [
    'a run folder that holds the configuration',
    { 'vhostel.ini': '[server]\nrun = .\n' },
    /^vhostel\.ini:2: \[server\] run: ".*" holds other things, and vhostel would close the folder to everybody else: name one that is for it alone \(such as .*\/vhostel\)$/,
  ],
  [
    'a run folder that holds the sites',
    { 'vhostel.ini': '[server]\nsites = live/sites\nrun = live\n' },
    /^vhostel\.ini:3: \[server\] run: ".*\/live" holds other things/,
  ],
  [
    'a run folder of the system',
    { 'vhostel.ini': '[server]\nrun = /tmp/\n' },
    /^vhostel\.ini:2: \[server\] run: "\/tmp" holds other things, .* \(such as \/tmp\/vhostel\)$/,
  ],
  [
    'a folder of the system for certificates',
    { 'vhostel.ini': '[acme]\nstate = /var/lib\n' },
    /^vhostel\.ini:2: \[acme\] state: "\/var\/lib" holds other things/,
  ],
  ['a sites folder that is a file', { 'vhostel.ini': '[server]\nsites = vhostel.ini\n' }, /is a file, not a folder$/],
  ['a NUL in logging.ini', { 'logging.ini': '[log]\n\0' }, /^logging\.ini:2: has a NUL byte: it is not a text file$/],
  ['an address that is wrong, once', { 'vhostel.ini': '[server]\nlisten = x\n' }, /the port is missing/],
]
for (const [name, entries, problem] of FILES) {
  test(`${name} is a problem`, (t) => {
    const problems = problemsOf(configFolder(t, entries))

    assert.equal(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', problem)
  })
}

test('two free ports are no address twice', (t) => {
  assert.deepEqual(problemsOf(configFolder(t, { 'vhostel.ini': '[server]\nlisten = 127.0.0.1:0 127.0.0.1:0\n' })), [])
})

test('a vhostel.ini that is not there is a problem', (t) => {
  const folder = configFolder(t)
  folder.remove('vhostel.ini')

  assert.deepEqual(problemsOf(folder), ['vhostel.ini: does not exist'])
})

test('everything is checked at once, in file order, the sites also where vhostel.ini is wrong', async (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[server]\ndefault_site = blgo\n[pool]\nthreads = x\n[defaults]\ntimeout = 5s\n',
    'logging.ini': '[logs]\n',
    'sites-enabled/blog.ini': siteText('a.com'),
    'sites-enabled/shop.ini': siteText('b.com a.com', '[limits]\nqueue = x\n'),
    'sites-enabled/tea.ini': siteText('c.com\n  a.com'),
  })

  const { problems, table, server } = await loadAll(folder.path('vhostel.ini'), {})

  assert.deepEqual(
    problems.map((problem) => renderProblem(problem, folder.dir)),
    [
      'vhostel.ini:2: [server] default_site: there is no site "blgo" in the sites folder; did you mean blog?',
      'vhostel.ini:4: [pool] threads: "x" is not auto, a range such as 1..4, or a whole number from 1 to 256',
      'logging.ini:1: [logs]: the section is not known; did you mean [log]?',
      'sites-enabled/shop.ini:6: [limits] queue: "x" is not a whole number from 0 to 1000000',
      "sites-enabled/tea.ini:3: [site] domains: domain 'a.com' is already served by sites-enabled/blog.ini; remove it from one of the two",
    ],
  )
  assert.equal(table.sites.get('blog')?.config?.limits.timeoutMs, 5000)
  assert.equal(server.pools[0].threads, 'auto')
})

test('a configuration without fault has no problems', async (t) => {
  const folder = configFolder(t, { 'sites-enabled/blog.ini': siteText('a.com') })

  assert.deepEqual((await loadAll(folder.path('vhostel.ini'), {})).problems, [])
})

test('a sites folder that is missing is a problem', async (t) => {
  const folder = configFolder(t)
  folder.remove('sites-enabled')

  const { problems } = await loadAll(folder.path('vhostel.ini'), {})

  assert.deepEqual(
    problems.map((problem) => renderProblem(problem, folder.dir)),
    ['sites-enabled: the sites folder does not exist: make it'],
  )
})

test('error pages of the server are read from the folder of vhostel.ini, and told with their line where they are none', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[errors]\n421 = none.html\n5xx = sorry.txt\n',
    'none.html': '<p>none',
  })
  const { errors, dependencies } = folder.server()

  assert.deepEqual(errors, { 421: { type: 'text/html; charset=utf-8', body: '<p>none' } })
  assert.deepEqual(dependencies, [folder.path('none.html'), folder.path('sorry.txt')])

  folder.put({ 'vhostel.ini': '[errors]\n200 = none.html\n404 = none.php\n', 'none.html': '<p>none' })
  assert.deepEqual(problemsOf(folder), [
    'vhostel.ini:2: [errors] 200: is not a status of an error: write one such as 404, or 4xx or 5xx for all of them',
    'vhostel.ini:3: [errors] 404: "none.php" is not a page: its name has to end in .html, .htm, .txt, .json, .xml',
  ])
})
