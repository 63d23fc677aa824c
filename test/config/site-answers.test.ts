import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { readTarget } from '../../src/config/redirect-schema.ts'
import type { SiteConfig } from '../../src/config/site-schema.ts'
import { makePair } from '../helpers/certificates.ts'
import type { Entry } from './config-folder.ts'
import { configFolder } from './config-folder.ts'

/** A site as loaded from its text, with what is wrong in it. */
function load(
  t: TestContext,
  text: string,
  entries: Record<string, Entry> = {},
): { config: SiteConfig | undefined; problems: string[]; dir: string; dependencies: string[] } {
  const folder = configFolder(t, { 'sites-enabled/site.ini': text, 'app/public/a.js': '', ...entries })
  const { config, problems, dependencies } = loadSite(folder.path('sites-enabled/site.ini'), folder.server(), {})
  const lines = problems.map((problem) =>
    renderProblem(problem, folder.dir).replaceAll(folder.dir, 'DIR').replace('sites-enabled/site.ini', ''),
  )
  return { config, problems: lines, dir: folder.dir, dependencies }
}

const SITE = '[site]\ndomains = a.test, www.a.test\n'
const MODULE = `${SITE}root = ../app\nmodule = server.js\n`
const STATIC = `${SITE}root = ../public\n`

test('mounts are read with paths from the root, the longest first', (t) => {
  const { config, problems, dir } = load(
    t,
    `${MODULE}[static]\n/ = public\n/assets/ = public\n/assets/deep = ../public\n/.well-known = "public"\n`,
  )

  assert.deepEqual(problems, [])
  assert.deepEqual(config?.static.mounts, [
    { prefix: '/assets/deep', folder: `${dir}/public` },
    { prefix: '/.well-known', folder: `${dir}/app/public` },
    { prefix: '/assets', folder: `${dir}/app/public` },
    { prefix: '', folder: `${dir}/app/public` },
  ])
})

test('every key of [static] is read', (t) => {
  const { config, problems } = load(
    t,
    `${STATIC}[static]\nindex = a.html\ntry = $uri, $uri.html $uri/\n  /index.html =404\nclean_urls = yes\n` +
      'not_found = /err/404.html\nlisting = on\nprecompressed = no\ncache_control = no-cache\nimmutable = /assets, *.woff2\n',
  )

  assert.deepEqual(problems, [])
  assert.deepEqual(config?.static, {
    index: ['a.html'],
    try: ['$uri', '$uri.html', '$uri/', '/index.html'],
    cleanUrls: true,
    notFound: 'err/404.html',
    listing: true,
    precompressed: false,
    cacheControl: 'no-cache',
    immutable: ['/assets', '*.woff2'],
    mounts: [],
  })
})

const STATIC_FAULTS: [text: string, problem: string][] = [
  [`${MODULE}[static]\n/a = none\n`, ':6: [static] /a: "none" does not exist (looked for DIR/app/none)'],
  [`${MODULE}[static]\n/a = server.js\n`, ':6: [static] /a: "server.js" is not a folder (DIR/app/server.js)'],
  [`${MODULE}[static]\n/a =\n`, ':6: [static] /a: is empty: write the folder'],
  [
    `${MODULE}[static]\n/a/../b = public\n`,
    ':6: [static] /a/../b: "/a/../b" is not the beginning of a path as browsers send it (such as /assets)',
  ],
  [
    `${MODULE}[static]\n//a = public\n`,
    ':6: [static] //a: "//a" is not the beginning of a path as browsers send it (such as /assets)',
  ],
  [`${MODULE}[static]\n/a = public\n/a/ = public\n`, ':7: [static] /a/: is there twice: keep one of the two'],
  [`${MODULE}[static]\n/a = public\n/a = public\n`, ':7: [static] /a: is already set on line 6: keep one of the two'],
  [`${MODULE}[static]\n/a[] = public\n`, ':6: [static] /a: takes one value: write /a = …, without []'],
  [
    `${MODULE}[static]\n/ = ..\n`,
    ':6: [static] /: the folder (DIR) holds sites-enabled/site.ini, which would be served: name a folder that holds only what the site is to show',
  ],
  [
    `${MODULE}[static]\n/ = .\n`,
    ':6: [static] /: the folder (DIR/app) holds app/server.js, which would be served: name a folder that holds only what the site is to show',
  ],
  [
    `${STATIC}[static]\n/ini = ../sites-enabled\n`,
    ':5: [static] /ini: the folder (DIR/sites-enabled) holds sites-enabled/site.ini, which would be served: name a folder that holds only what the site is to show',
  ],
  [
    `${MODULE}[static]\n/up = link\n`,
    ':6: [static] /up: the folder (DIR/app/link) holds sites-enabled/site.ini, which would be served: name a folder that holds only what the site is to show',
  ],
  [`${MODULE}timeot = 3s\n`, ':5: [site] timeot: the key is not known; did you mean timeout in [limits]?'],
  [
    `${MODULE}concurrency = 5\n`,
    ':5: [site] concurrency: the key is not known here; it belongs in [pool] of vhostel.ini',
  ],
  [`${MODULE}[log]\nlevel = info\n`, ':6: [log] level: the key is not known here; it belongs in [log] of logging.ini'],
  [`${MODULE}/a = public\n`, ':5: [site] /a: the key is not known here; it belongs in [static]'],
  [`${MODULE}[env]\n/a = public\n`, ':6: [env] /a: the key is not known here; it belongs in [static]'],
  [`${MODULE}[static]\ntry = $uri\n`, ':6: [static] try: has no use with kind = module: take the line away'],
  [
    `${MODULE}[proxy]\npaths = /api\n`,
    ':5: [proxy]: has no use with kind = module: name an upstream or a command in [site], or take it away; a module gets every path that is no file',
  ],
  [`${STATIC}[static]\ntry = =404, $uri\n`, ':5: [static] try: =404 ends the list: put it last, or take it away'],
  [`${STATIC}[static]\ntry =\n`, ':5: [static] try: is empty: name at least $uri, or take the line away'],
  [
    `${STATIC}[static]\ntry = index.html\n`,
    ':5: [static] try: "index.html" begins neither with $uri nor with / (such as $uri, $uri.html, $uri/ or /index.html)',
  ],
  [
    `${STATIC}[static]\ntry = $url\n`,
    ':5: [static] try: "$url" begins neither with $uri nor with / (such as $uri, $uri.html, $uri/ or /index.html)',
  ],
  [
    `${STATIC}[static]\ntry = $uri$args\n`,
    ':5: [static] try: "$uri$args": $uri, at the beginning, is the only variable (such as $uri, $uri.html, $uri/ or /index.html)',
  ],
  [
    `${STATIC}[static]\ntry = /../secret\n`,
    ':5: [static] try: "/../secret" is not the path of a file that may be served (such as $uri, $uri.html, $uri/ or /index.html)',
  ],
  [
    `${STATIC}[static]\ntry = /index.html?a\n`,
    ':5: [static] try: "/index.html?a" is not the path of a file that may be served (such as $uri, $uri.html, $uri/ or /index.html)',
  ],
  [
    `${STATIC}[static]\nnot_found = ../404.html\n`,
    ':5: [static] not_found: "../404.html" is not the path of a file below root (such as 404.html)',
  ],
  [
    `${STATIC}[static]\nnot_found = errors/\n`,
    ':5: [static] not_found: "errors/" is not the path of a file below root (such as 404.html)',
  ],
  [
    `${STATIC}[static]\nlisting = maybe\n`,
    ':5: [static] listing: "maybe" is neither yes nor no (yes, true or on; no, false or off)',
  ],
]

test('a mount does not show the file with the environment', (t) => {
  const text = `${MODULE}env_file = ../secrets/env\n[static]\n/x = ../secrets\n`
  const { problems } = load(t, text, { 'secrets/env': 'A=1' })

  assert.match(
    problems.join(),
    /^:7: \[static\] \/x: the folder \(DIR\/secrets\) holds secrets\/env, which would be served/,
  )
})

test('neither a mount nor the root of a static site shows passwords, or the key of a certificate', (t) => {
  const pair = makePair(['a.test', 'www.a.test'])
  const files = { 'public/tls/key.pem': pair.key, 'cert.pem': pair.cert, 'public/users': 'a:$2y$05$x' }
  const keyLines = 'certificate = ../cert.pem\nkey = ../public/tls/key.pem\n'

  const root = load(t, `${STATIC}${keyLines}`, files)
  const mount = load(t, `${MODULE}${keyLines}[static]\n/x = ../public\n`, files)
  const passwords = load(t, `${MODULE}[static]\n/x = ../public\n[door]\nauth = ../public/users\n`, files)

  const served = (file: string) => `the folder (DIR/public) holds ${file}, which would be served`
  assert.ok(root.problems[0]?.startsWith(`:3: [site] root: ${served('public/tls/key.pem')}`), root.problems.join())
  assert.ok(mount.problems[0]?.startsWith(`:8: [static] /x: ${served('public/tls/key.pem')}`), mount.problems.join())
  assert.ok(passwords.problems[0]?.startsWith(`:6: [static] /x: ${served('public/users')}`), passwords.problems.join())
})

test('what is wrong in [static] is told with its line and its cure', (t) => {
  for (const [text, problem] of STATIC_FAULTS) {
    assert.deepEqual(load(t, text, { 'app/link': { link: '..' } }).problems, [problem])
  }
})

test('a mount that is missing is looked for again once it is there', (t) => {
  const { dependencies, dir } = load(t, `${MODULE}[static]\n/a = none\n`)

  assert.deepEqual(dependencies, [`${dir}/app/none`])
})

// ---- redirects ---------------------------------------------------------------------------------------------------

test('a redirect is told from its key, and needs no root', (t) => {
  const { config, problems } = load(t, `${SITE}[redirect]\nto = https://New.example:8443/base//\nstatus = 307\n`)

  assert.deepEqual(problems, [])
  assert.equal(config?.kind, 'redirect')
  assert.deepEqual(config?.redirect, {
    to: { scheme: 'https', host: 'new.example', port: 8443, base: '/base' },
    status: 307,
  })
})

test('a canonical name is one of the names, in any spelling', (t) => {
  assert.equal(load(t, `${STATIC}canonical = WWW.a.test.\n`).config?.canonical, 'www.a.test')
})

const SHORT = '(such as example.com or https://example.com/base)'
const REDIRECT_FAULTS: [text: string, problem: string][] = [
  [`${SITE}kind = redirect\n`, ': [redirect] to: is missing: name a host or a URL'],
  [
    `${SITE}[redirect]\nto = https://a.test/x\n`,
    ':4: [redirect] to: "a.test" is a domain of this site: visitors would go round in a circle',
  ],
  [
    `${SITE}[redirect]\nto = WWW.A.test\n`,
    ':4: [redirect] to: "www.a.test" is a domain of this site: visitors would go round in a circle',
  ],
  [
    `${SITE}[redirect]\nto = b.test\nstatus = 303\n`,
    ':5: [redirect] status: "303" is not one of 301, 302, 307, 308; did you mean 301?',
  ],
  [
    `${SITE}root = ../app\n[redirect]\nto = b.test\n`,
    ':3: [site] root: has no use with kind = redirect: take the line away',
  ],
  [
    `${SITE}preload = yes\n[redirect]\nto = b.test\n`,
    ':3: [site] preload: has no use with kind = redirect: take the line away',
  ],
  [
    `${SITE}[redirect]\nto = b.test\n[static]\nlisting = yes\n/a = x\n`,
    ':6: [static] listing: has no use with kind = redirect: take the line away',
  ],
  [
    `${STATIC}kind = static\n[redirect]\nto = b.test\n`,
    ':6: [redirect] to: has no use with kind = static: take the line away',
  ],
  [`${MODULE}[redirect]\nto = b.test\n`, ':6: [redirect] to: has no use with kind = module: take the line away'],
  [
    `${STATIC}canonical = b.test\n`,
    ':4: [site] canonical: "b.test" is not one of the names in domains: name it in domains too, or take the line away',
  ],
  [`${STATIC}canonical = \n`, ':4: [site] canonical: is empty: write a host, or take the line away'],
]

test('what is wrong with a redirect is told with its line and its cure', (t) => {
  for (const [text, problem] of REDIRECT_FAULTS) assert.equal(load(t, text).problems[0], problem)
})

const TARGETS: [text: string, wanted: unknown][] = [
  ['example.com', { scheme: undefined, host: 'example.com', port: undefined, base: '' }],
  ['example.com:81', { scheme: undefined, host: 'example.com', port: 81, base: '' }],
  ['HTTP://Example.com', { scheme: 'http', host: 'example.com', port: undefined, base: '' }],
  [
    'https://bücher.example/ä%20',
    `"https://bücher.example/ä%20": write what is not ASCII in the path with % (such as %C3%A4)`,
  ],
  ['https://bücher.example/', { scheme: 'https', host: 'xn--bcher-kva.example', port: undefined, base: '' }],
  ['http://[::1]:8080/x', { scheme: 'http', host: '[::1]', port: 8080, base: '/x' }],
  ['http://192.0.2.1', { scheme: 'http', host: '192.0.2.1', port: undefined, base: '' }],
  ['example.com/path', '"example.com/path" has a path but no scheme: write https:// or http:// before it'],
  ['//example.com', `"//example.com" is neither a host nor a URL of http or https ${SHORT}`],
  ['/path', `"/path" is neither a host nor a URL of http or https ${SHORT}`],
  ['ftp://example.com', `"ftp://example.com" is neither a host nor a URL of http or https ${SHORT}`],
  ['https://user@example.com/', `"https://user@example.com/" is neither a host nor a URL of http or https ${SHORT}`],
  ['https://example.com/?a=b', `"https://example.com/?a=b" is neither a host nor a URL of http or https ${SHORT}`],
  ['https://example.com/#a', `"https://example.com/#a" is neither a host nor a URL of http or https ${SHORT}`],
  ['https://example.com\\evil', `"https://example.com\\evil" is neither a host nor a URL of http or https ${SHORT}`],
  ['javascript:alert(1)', `"javascript:alert(1)" is neither a host nor a URL of http or https ${SHORT}`],
  ['example.com:99999', '"example.com:99999": 99999 is no port'],
  ['*.example.com', `"*.example.com" does not name a host ${SHORT}`],
  ['https://1.2.3/', `"https://1.2.3/" does not name a host ${SHORT}`],
  ['', `"" is neither a host nor a URL of http or https ${SHORT}`],
]

test('where a redirect leads is a host or a URL, and nothing that browsers would read otherwise', () => {
  for (const [text, wanted] of TARGETS) {
    const read = readTarget(text)
    assert.deepEqual('value' in read ? read.value : read.problem, wanted, text)
  }
})

for (const [written, fault] of [
  ['public, max-age=1h', 'max-age takes a number of seconds, without a unit'],
  ['max-age', 'max-age takes a number of seconds, without a unit'],
  ['maxage=60', '"maxage=60" is no directive; did you mean max-age?'],
  ['off', '"off" is no directive'],
  ['public max-age=60', '"public max-age=60" is no directive'],
  ['no-store=yes', 'no-store takes no value'],
] as const) {
  test(`cache_control = ${written} is refused: browsers would not heed it`, (t) => {
    assert.deepEqual(load(t, `${STATIC}[static]\ncache_control = ${written}\n`).problems, [
      `:5: [static] cache_control: "${written}" is not a Cache-Control (such as public, max-age=3600): ${fault}`,
    ])
  })
}

test('what is no Cache-Control, and no place of files that never change, is told', (t) => {
  const { problems } = load(t, `${STATIC}[static]\ncache_control = 1h\nimmutable = assets, *, /a?b\n`)

  assert.deepEqual(problems, [
    ':5: [static] cache_control: "1h" is not a Cache-Control (such as public, max-age=3600): "1h" is no directive',
    ':6: [static] immutable: "assets" is neither the beginning of a path (such as /assets) nor the end of a name (such as *.woff2)',
    ':6: [static] immutable: "*" is neither the beginning of a path (such as /assets) nor the end of a name (such as *.woff2)',
    ':6: [static] immutable: "/a?b" is neither the beginning of a path (such as /assets) nor the end of a name (such as *.woff2)',
  ])
})
