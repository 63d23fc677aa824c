import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { SiteLoad } from '../../src/config/load-site.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { MAX_PROBLEMS_PER_FILE, renderProblem } from '../../src/config/problems.ts'
import type { SiteConfig } from '../../src/config/site-schema.ts'
import type { ConfigFolder, Entry } from './config-folder.ts'
import { configFolder, siteText } from './config-folder.ts'

const FIXTURES = new URL('../fixtures/ini/sites/', import.meta.url)

function load(folder: ConfigFolder, name: string, env: NodeJS.ProcessEnv = {}): SiteLoad {
  return loadSite(folder.path(`sites-enabled/${name}`), folder.server(), env)
}

function shown(folder: ConfigFolder, { problems }: SiteLoad): string[] {
  return problems.map((problem) => renderProblem(problem, folder.dir).replaceAll(folder.dir, 'DIR'))
}

function goodConfig(folder: ConfigFolder, name: string, env?: NodeJS.ProcessEnv): SiteConfig {
  const result = load(folder, name, env)
  assert.deepEqual(shown(folder, result), [])
  assert.ok(result.config)
  return result.config
}

/** `…` at the end of an expected line stands for anything. */
function assertLines(found: string[], expected: string[]): void {
  const cut = found.map((line, index) => {
    const wanted = expected[index] ?? ''
    return wanted.endsWith('…') && line.startsWith(wanted.slice(0, -1)) ? wanted : line
  })
  assert.deepEqual(cut, expected)
}

for (const file of readdirSync(FIXTURES)) {
  test(`fixture ${file} gives what stands below it`, (t) => {
    const [ini = '', expected = ''] = readFileSync(new URL(file, FIXTURES), 'utf8').split('========\n')
    const folder = configFolder(t, { 'sites-enabled/site.ini': ini })

    const result = load(folder, 'site.ini')

    const [first, domains] = expected.trimEnd().split('\n')
    if (first === 'good') {
      assert.deepEqual(shown(folder, result), [])
      assert.equal(result.config?.domains.map(({ source }) => source).join(' '), domains)
    } else {
      assertLines(shown(folder, result), expected.trimEnd().split('\n'))
      assert.equal(result.config, undefined)
    }
  })
}

test('a site that says only what it must has every default', (t) => {
  const folder = configFolder(t, { 'sites-enabled/blog.ini': siteText('blog.example.com') })

  assert.deepEqual(goodConfig(folder, 'blog.ini'), {
    name: 'blog',
    file: folder.path('sites-enabled/blog.ini'),
    realFile: folder.path('sites-enabled/blog.ini'),
    domains: [{ kind: 'exact', host: 'blog.example.com', source: 'blog.example.com' }],
    kind: 'module',
    root: folder.path('app'),
    module: folder.path('app/server.js'),
    type: 'auto',
    args: [],
    httpPort: undefined,
    watch: false,
    isolation: 'shared',
    pool: 'default',
    identity: undefined,
    preload: false,
    idleMs: 1_800_000,
    certificate: undefined,
    tls: { httpsOnly: false, hstsSeconds: 15_552_000 },
    env: {},
    options: {},
    limits: {
      timeoutMs: 60_000,
      queue: 1000,
      queueTimeoutMs: 30_000,
      startTimeoutMs: 30_000,
      stopTimeoutMs: 30_000,
      hangTimeoutMs: 30_000,
      maxBodyBytes: 1024 ** 3,
      bodyWaitMs: 1000,
      bodyRate: 500,
      bodyTimeoutMs: 60_000,
      sendTimeoutMs: 60_000,
      slowMs: 1000,
      softLimitMs: 2000,
      hardLimitMs: 10_000,
      offences: 3,
      quarantineMs: 600_000,
      share: 0,
      max: 1,
      maxThreads: undefined,
    },
    compress: true,
    cache: undefined,
    static: {
      index: ['index.html'],
      try: ['$uri', '$uri/'],
      cleanUrls: false,
      notFound: undefined,
      listing: false,
      precompressed: true,
      cacheControl: 'public, max-age=0',
      immutable: [],
      mounts: [],
    },
    redirect: undefined,
    canonical: undefined,
    log: { access: undefined, error: undefined, format: 'combined' },
    backend: undefined,
    doors: {
      allow: undefined,
      deny: undefined,
      rate: undefined,
      auth: undefined,
      headers: undefined,
      errors: undefined,
    },
    acme: undefined,
  })
})

test('what a site says wins over [defaults], and [defaults] over the built-in ones', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini':
      '[defaults]\nwatch = yes\nroot = ../app\nmodule = server.js\ntimeout = 5s\nqueue = 7\nindex = a.html b.html\n',
    'sites-enabled/blog.ini': '[site]\ndomains = a.com\n[limits]\nqueue = 8\n',
  })

  const config = goodConfig(folder, 'blog.ini')

  assert.equal(config.watch, true)
  assert.equal(config.module, folder.path('app/server.js'))
  assert.equal(config.limits.timeoutMs, 5000)
  assert.equal(config.limits.queue, 8)
  assert.equal(config.limits.queueTimeoutMs, 30_000)
  assert.deepEqual(config.static.index, ['a.html', 'b.html'])
})

test('what [defaults] says of upstreams, stored answers and logs is for the sites that have them', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[defaults]\nread_timeout = 7s\nconnections = 9\nmemory = 3MB\nformat = json\n',
    'sites-enabled/front.ini':
      '[site]\ndomains = a.com\nupstream = http://127.0.0.1:8000\ncache = on\n[proxy]\nconnections = 5\n[log]\nerror = ../front.log\n',
    'sites-enabled/files.ini': '[site]\ndomains = b.com\nroot = ../public\n',
    'public/index.html': '',
  })

  const front = goodConfig(folder, 'front.ini')
  const files = goodConfig(folder, 'files.ini')

  assert.deepEqual([front.backend?.proxy.readTimeoutMs, front.backend?.proxy.connections], [7000, 5])
  assert.equal(front.cache?.memoryBytes, 3 * 1024 ** 2)
  assert.equal(front.log.format, 'json')
  assert.deepEqual([files.backend, files.cache], [undefined, undefined])
})

test('a module named in [defaults] does not hinder a static site', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[defaults]\nroot = ../app\nmodule = server.js\n',
    'sites-enabled/blog.ini': '[site]\ndomains = a.com\nkind = static\nroot = ../public\n',
  })

  assert.equal(goodConfig(folder, 'blog.ini').kind, 'static')
})

test('a problem of what stands in [defaults] says where that is', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[defaults]\nauth = nobody\n',
    'sites-enabled/blog.ini': '[site]\ndomains = a.com\nkind = static\nroot = ../public\n',
    'public/index.html': '',
  })

  assert.match(
    shown(folder, load(folder, 'blog.ini'))[0] ?? '',
    /blog\.ini: \[door\] auth: .*nobody does not exist \(auth stands in \[defaults\] of vhostel\.ini\)$/,
  )
})

test('of keys without a section it is said once where they belong, and nothing else', (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': 'domains = a.com\nroot = .\n' })

  const { problems } = load(folder, 'x.ini')

  assert.deepEqual(
    problems.map(({ line, key }) => [line, key]),
    [[1, 'domains']],
  )
})

test('a static site never serves the sites folder, also where its own file is elsewhere', (t) => {
  const folder = configFolder(t, {
    'elsewhere/x.ini': '[site]\ndomains = a.com\nroot = ../sites-enabled\n',
    'sites-enabled/x.ini': { link: '../elsewhere/x.ini' },
  })

  assert.match(shown(folder, load(folder, 'x.ini'))[0] ?? '', /holds sites-enabled, which would be served/)
})

test('relative paths start where the file really is, if it is a link', (t) => {
  const folder = configFolder(t, {
    'elsewhere/deep/blog.conf': '[site]\ndomains = a.com\nroot = code\nmodule = ../code/main.js\nenv_file = .env\n',
    'elsewhere/deep/code/main.js': '',
    'elsewhere/deep/.env': 'A=1\n',
    'sites-enabled/blog.ini': { link: '../elsewhere/second' },
    'elsewhere/second': { link: 'deep/blog.conf' },
  })

  const result = load(folder, 'blog.ini')

  assert.deepEqual(shown(folder, result), [])
  assert.equal(result.config?.file, folder.path('sites-enabled/blog.ini'))
  assert.equal(result.config?.realFile, folder.path('elsewhere/deep/blog.conf'))
  assert.equal(result.config?.root, folder.path('elsewhere/deep/code'))
  assert.equal(result.config?.module, folder.path('elsewhere/deep/code/main.js'))
  assert.deepEqual(result.linkTargets, [folder.path('elsewhere/second'), folder.path('elsewhere/deep/blog.conf')])
  assert.deepEqual(result.dependencies, [folder.path('elsewhere/deep/.env')])
})

test("the environment is env_file, [env] over it, and $NAME of the server's own", (t) => {
  const more = `env_file = ../app/.env\n[env]\nB = two\nHOST = \${NAME}.example.com/$NAME\nPRICE = $$5 and $5\nEMPTY =\nconstructor = x\n`
  const folder = configFolder(t, {
    'app/.env': '# comment\nA="one #1"\nB=1\nexport C=$NAME\n',
    'sites-enabled/blog.ini': siteText('a.com', more),
  })

  const { env } = goodConfig(folder, 'blog.ini', { NAME: 'box' })

  assert.deepEqual(env, {
    A: 'one #1',
    B: 'two',
    C: '$NAME',
    HOST: 'box.example.com/box',
    PRICE: '$5 and $5',
    EMPTY: '',
    constructor: 'x',
  })
})

test('an option is JSON where it is JSON, and a text where it is quoted or would change', (t) => {
  const lines = {
    number: '5',
    negative: '-0.5',
    flag: 'true',
    nothing: 'null',
    object: '{"a": [1, "x"]}',
    text: 'hello world',
    version: '1.0',
    code: '007',
    id: '12345678901234567890',
    quoted: '"5"',
    single: "'true'",
    broken: '{a: 1}',
    proto: '{"a": {"__proto__": 1}}',
  }
  const options = Object.entries(lines).map(([key, value]) => `${key} = ${value}\n`)
  const more = `[options]\n${options.join('')}list[] = 1\nlist[] = b\nlist[] = "2"\none[] = x\n`
  const folder = configFolder(t, { 'sites-enabled/blog.ini': siteText('a.com', more) })

  assert.deepEqual(goodConfig(folder, 'blog.ini').options, {
    number: 5,
    negative: -0.5,
    flag: true,
    nothing: null,
    object: { a: [1, 'x'] },
    text: 'hello world',
    version: '1.0',
    code: '007',
    id: '12345678901234567890',
    quoted: '5',
    single: 'true',
    broken: '{a: 1}',
    proto: '{"a": {"__proto__": 1}}',
    list: [1, 'b', '2'],
    one: ['x'],
  })
})

test('sites with the same limits share one object, which nobody can change', (t) => {
  const folder = configFolder(t, {
    'sites-enabled/a.ini': siteText('a.com'),
    'sites-enabled/b.ini': siteText('b.com'),
  })

  const a = goodConfig(folder, 'a.ini')

  assert.equal(a.limits, goodConfig(folder, 'b.ini').limits)
  assert.ok(Object.isFrozen(a.limits))
})

const GOOD = siteText('a.com')
const FILES: [name: string, entry: Entry, expected: string | undefined][] = [
  ['with a BOM', `\ufeff${GOOD}`, undefined],
  ['with CRLF', GOOD.replaceAll('\n', '\r\n'), undefined],
  ['with no line end at its end', GOOD.trimEnd(), undefined],
  ['that is empty', '', 'is empty; a site needs at least [site] and domains = …'],
  ['of blanks', ' \n\n', 'is empty; a site needs at least [site] and domains = …'],
  ['of 10 MB', Buffer.alloc(10 * 1024 * 1024, '; x\n'), 'is 10.0 MB large; a configuration file may have 1 MB at most'],
  ['that is a folder', 'folder', 'is a folder, not a file'],
  ['that is a dangling link', { link: '../gone.ini' }, 'is a link to ../gone.ini, which does not exist'],
  ['that is a link to itself', { link: 'x.ini' }, 'is a link that leads back to itself'],
  ['that is a link to a folder', { link: '../app' }, 'is a folder, not a file'],
  ['that is a link to a device', { link: '/dev/zero' }, 'is not a regular file'],
  ['in UTF-16', Buffer.from('\ufeff[site]', 'utf16le'), 'is UTF-16: save it as UTF-8'],
]
for (const [name, entry, expected] of FILES) {
  test(`a file ${name} is ${expected === undefined ? 'read' : 'refused with a clear message'}`, (t) => {
    const folder = configFolder(t, { 'sites-enabled/x.ini': entry })

    const found = shown(folder, load(folder, 'x.ini'))

    assert.deepEqual(found, expected === undefined ? [] : [`sites-enabled/x.ini: ${expected}`])
  })
}

test('a NUL byte and bytes that are not UTF-8 are named with their line', (t) => {
  const folder = configFolder(t, {
    'sites-enabled/nul.ini': `${GOOD}; \0`,
    'sites-enabled/latin1.ini': Buffer.from(`${GOOD}; caf\xe9`, 'latin1'),
  })

  assert.deepEqual(shown(folder, load(folder, 'nul.ini')), [
    'sites-enabled/nul.ini:5: has a NUL byte: it is not a text file',
  ])
  assert.deepEqual(shown(folder, load(folder, 'latin1.ini')), [
    'sites-enabled/latin1.ini:5: is not UTF-8 text: save it as UTF-8',
  ])
})

test('a file that may not be read is a problem that names the user', (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': GOOD })
  chmodSync(folder.dir, 0o755)
  chmodSync(folder.path('sites-enabled/x.ini'), 0)
  const script = `
    import { readTextFile } from ${JSON.stringify(new URL('../../src/config/text-file.ts', import.meta.url).href)}
    console.log(JSON.stringify(readTextFile(${JSON.stringify(folder.path('sites-enabled/x.ini'))})))`
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

  // Root may read everything, so a child without its rights looks.
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    ...nobody,
    cwd: folder.dir,
    encoding: 'utf8',
  })

  assert.match(stdout, /cannot be read: permission denied for user \S+"/, stderr)
})

test('a name that cannot be a host, a path and a word at once is refused', (t) => {
  const long = 'x'.repeat(101)
  const names = ['two words', '-x', 'a\nb', 'ä', long]
  const folder = configFolder(t, Object.fromEntries(names.map((name) => [`sites-enabled/${name}.ini`, GOOD])))

  for (const name of names) {
    const result = load(folder, `${name}.ini`)
    assert.match(result.problems[0]?.message ?? '', /cannot be the name of a site/)
    assert.equal(result.config, undefined)
  }
})

test('a file with very many problems shows the first of them', (t) => {
  const folder = configFolder(t, { 'sites-enabled/x.ini': `${GOOD}${'nonsense\n'.repeat(300)}` })

  const { problems } = load(folder, 'x.ini')

  assert.equal(problems.length, MAX_PROBLEMS_PER_FILE)
  assert.match(problems.at(-1)?.message ?? '', /^and 251 more problems$/)
})

test('ten thousand domains are allowed, one more is not', (t) => {
  const domains = (count: number) => Array.from({ length: count }, (_, index) => `\n  d${index}.example.com`).join('')
  const folder = configFolder(t, {
    'sites-enabled/full.ini': siteText(domains(10_000)),
    'sites-enabled/over.ini': siteText(domains(10_001)),
  })

  assert.equal(goodConfig(folder, 'full.ini').domains.length, 10_000)
  assert.deepEqual(shown(folder, load(folder, 'over.ini')), [
    'sites-enabled/over.ini:10003: [site] domains: more than 10000 domains; use a pattern such as *.example.com',
  ])
})

test('a site depends on the paths that it could not find, so that they can be waited for', (t) => {
  const folder = configFolder(t, {
    'sites-enabled/root.ini': '[site]\ndomains = a.com\nroot = ../later\nmodule = x.js\n',
    'sites-enabled/module.ini': '[site]\ndomains = a.com\nroot = ../app\nmodule = later.js\nenv_file = ../app/.env\n',
  })

  assert.deepEqual(load(folder, 'root.ini').dependencies, [folder.path('later')])
  assert.deepEqual(load(folder, 'module.ini').dependencies, [folder.path('app/later.js'), folder.path('app/.env')])
})

test('fixtures are where this test looks for them', () => {
  assert.ok(readdirSync(fileURLToPath(FIXTURES)).length > 15)
})
