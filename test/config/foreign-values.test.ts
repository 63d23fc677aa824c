/**
 * Values as other servers, process managers and shells take them. Each is told with its cure, for as it is written it would do something
 * else than what was meant, or nothing.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadServer } from '../../src/config/load-server.ts'
import type { SiteLoad } from '../../src/config/load-site.ts'
import { loadSite } from '../../src/config/load-site.ts'
import type { Problem } from '../../src/config/problems.ts'
import { renderProblem } from '../../src/config/problems.ts'
import type { Entry } from './config-folder.ts'
import { configFolder } from './config-folder.ts'

const STATIC = '[site]\ndomains = a.test\nroot = ../public\n'
const MODULE = '[site]\ndomains = a.test\nroot = ../app\nmodule = server.js\n'
const PROXY = '[site]\ndomains = a.test\nupstream = '
const REDIRECT = '[site]\ndomains = a.test\n[redirect]\nto = '

type Told = SiteLoad & { told: string[]; warned: string[] }

function load(t: TestContext, text: string, entries: Record<string, Entry> = {}, env: NodeJS.ProcessEnv = {}): Told {
  const folder = configFolder(t, { 'sites-enabled/a.ini': text, ...entries })
  const site = loadSite(folder.path('sites-enabled/a.ini'), folder.server(), env)
  const lines = (problems: Problem[]): string[] =>
    problems.map((one) =>
      renderProblem(one, folder.dir).replace('sites-enabled/a.ini', '').replaceAll(folder.dir, 'DIR'),
    )
  return { ...site, told: lines(site.problems), warned: lines(site.warnings) }
}

for (const [text, expected] of [
  [`${PROXY}unix:/run/a.sock:/api\n`, 'unix:/run/a.sock:/api: no path goes with an upstream: write unix:/run/a.sock'],
  [`${PROXY}unix:~/a.sock\n`, '"~/a.sock": only a shell knows ~: write the whole path'],
  [
    `${MODULE}[limits]\nmax_body = 0\n`,
    'is 0: every request with a body would be refused; for no limit, write more than ever comes (such as 1TB)',
  ],
  [`${PROXY}3000\n`, '"3000" is not an upstream: write http://127.0.0.1:3000'],
  [`${PROXY}:3000\n`, '":3000" is not an upstream: write http://127.0.0.1:3000'],
  [
    `${REDIRECT}https://b.test$request_uri\n`,
    '"https://b.test$request_uri": nothing is filled in, and path and query are kept without it: take $request_uri away',
  ],
  [
    `${REDIRECT}https://b.test/$1\n`,
    '"https://b.test/$1": nothing is filled in, and path and query are kept without it: take $1 away',
  ],
  [
    `${REDIRECT}https://b.test/%{REQUEST_URI}\n`,
    '"https://b.test/%{REQUEST_URI}": nothing is filled in, and path and query are kept without it: take %{REQUEST_URI} away',
  ],
  [
    `${REDIRECT}https://{host}{uri}\n`,
    '"https://{host}{uri}": to send visitors to https, write [site] https_only = yes in the site itself',
  ],
  [
    `${STATIC}[static]\n/assets/* = .\n`,
    '"/assets/*" is not the beginning of a path as browsers send it: write /assets, which is for all that is below it too',
  ],
  [
    `${PROXY}http://b.test\n[proxy]\npaths = /api*\n`,
    '"/api*" is not the beginning of a path as browsers send it: write /api, which is for all that is below it too',
  ],
  [
    `${STATIC}[static]\nindex = index.php\n`,
    '"index.php" would be sent as it is written, and not be run: [site] command or [site] upstream names a server that runs it',
  ],
  [
    `${STATIC}[static]\ntry = $uri, /index.php\n`,
    '"/index.php" would be sent as it is written, and not be run: [site] command or [site] upstream names a server that runs it',
  ],
  [`${STATIC}[log]\naccess = no\n`, '"no" is not a file: without the line there is no such log'],
  [
    `${STATIC}[log]\naccess = syslog:server=127.0.0.1\n`,
    '"syslog:server=127.0.0.1" is not a file, and logs are written to files alone; without the line there is no such file',
  ],
  [
    `${STATIC}[log]\naccess = "|/usr/bin/rotatelogs a.log"\n`,
    '"|/usr/bin/rotatelogs a.log" is not a file, and logs are written to files alone; without the line there is no such file',
  ],
  [`${STATIC}[log]\nerror = ~/a.log\n`, '"~/a.log": only a shell knows ~: write the whole path'],
  [
    `${STATIC}[log]\nerror = \${APACHE_LOG_DIR}/a.log\n`,
    `"\${APACHE_LOG_DIR}/a.log": variables are filled in in [env] alone: write what \${APACHE_LOG_DIR} stands for`,
  ],
  [
    '[site]\ndomains = a.test\nroot = /var/www/$host\n',
    '"/var/www/$host": variables are filled in in [env] alone: write what $host stands for',
  ],
  [
    `${MODULE}[env]\nA = “b c”\n`,
    '"“b c”" is in the quotes of a word processor: write "b c", or "“b c”" where they belong to it',
  ],
  [
    `${STATIC}[headers]\nadd_header = X-A b\n`,
    'is a word of another server, and would be sent as a header: write the name of the header (X-Frame-Options = DENY)',
  ],
] as const) {
  test(`${JSON.stringify(text.split('\n').at(-2))} is refused with the cure`, (t) => {
    const { told } = load(t, text)

    assert.equal(told.length, 1, told.join('\n'))
    assert.match(told[0] ?? '', /^:\d+: \[\w+\] \S+: /)
    assert.equal((told[0] ?? '').replace(/^:\d+: \[\w+\] \S+: /, ''), expected)
  })
}

for (const [text, key] of [
  ['[server]\nrun = ~/run\n', 'vhostel.ini:2: [server] run'],
  ['[server]\nrun = $HOME/run\n', 'vhostel.ini:2: [server] run'],
  ['[acme]\nstate = ~/acme\n', 'vhostel.ini:2: [acme] state'],
] as const) {
  test(`${JSON.stringify(text)}: no folder is made by the name of a variable`, (t) => {
    const folder = configFolder(t, { 'vhostel.ini': text })

    const { problems } = loadServer(folder.path('vhostel.ini'))

    assert.deepEqual(
      problems.map((one) => renderProblem(one, folder.dir).slice(0, key.length)),
      [key],
    )
  })
}

test('the logs of the server are files, too', (t) => {
  const folder = configFolder(t, { 'logging.ini': '[log]\nfile = stderr\n[access]\nfile = off\n' })

  const { problems } = loadServer(folder.path('vhostel.ini'))

  assert.deepEqual(
    problems.map((one) => renderProblem(one, folder.dir)),
    [
      'logging.ini:2: [log] file: "stderr" is not a file, and logs are written to files alone; without the line there is no such file',
      'logging.ini:4: [access] file: "off" is not a file: without the line there is no such log',
    ],
  )
})

test('in single quotes nothing is filled in', (t) => {
  const lines = `A = 'p$$w$HOME'\nB = "p$$w"\nC = p$$w\nD = '$NOT_SET'\n`

  const { told, config } = load(t, `${MODULE}[env]\n${lines}`, {}, { HOME: '/root' })

  assert.deepEqual(told, [])
  assert.deepEqual(config?.env, { A: 'p$$w$HOME', B: 'p$w', C: 'p$w', D: '$NOT_SET' })
})

test('a file of variables in which there are none is warned of', (t) => {
  const text = `${MODULE}env_file = ../env\n`

  assert.deepEqual(load(t, text, { env: 'A: b\n' }).warned, [
    ':5: [site] env_file: ../env has no line NAME=value in it',
  ])
  assert.deepEqual(load(t, text, { env: '# A=b\n\n' }).warned, [])
  assert.deepEqual(load(t, text, { env: 'A=b\nC: d\n' }).warned, [])
})

test('what is sent in a header as it is written is warned of', (t) => {
  const { told, warned } = load(
    t,
    `${STATIC}[headers]\nX-A = DENY always\nX-B = %{HTTP_HOST}e\nX-C = {http.request.host}\nX-D = {"a":1}\n`,
  )

  assert.deepEqual(told, [])
  assert.equal(warned.length, 3, warned.join('\n'))
  assert.match(warned[0] ?? '', /^:5: \[headers\] X-A: "always" is sent as a part of the value/)
  assert.match(warned[1] ?? '', /^:6: \[headers\] X-B: "%\{HTTP_HOST\}e" is sent as it is written/)
  assert.match(warned[2] ?? '', /^:7: \[headers\] X-C: "\{http\.request\.host\}" is sent as it is written/)
})

test('what stands behind the hash of a password is a comment', (t) => {
  const hash = `$2y$10$${'a'.repeat(53)}`

  const { told, config } = load(t, `${STATIC}[door]\nauth = ../pw\n`, { pw: `ada:${hash}:of the kitchen\n` })

  assert.deepEqual(told, [])
  assert.deepEqual(config?.doors.auth?.users, { ada: hash })
})
