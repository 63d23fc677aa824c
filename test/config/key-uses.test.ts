import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadServer } from '../../src/config/load-server.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { configFolder } from './config-folder.ts'

const SITE = '[site]\ndomains = a.test, www.a.test\n'
const KINDS = {
  module: 'root = ../app\nmodule = server.js\n',
  static: 'root = ../public\n',
  redirect: 'kind = redirect\n',
  proxy: 'root = ../app\nupstream = http://127.0.0.1:1\n',
  command: 'root = ../app\ncommand = program\n',
}

function problemsOf(t: TestContext, text: string, ini = ''): string[] {
  const folder = configFolder(t, { 'vhostel.ini': ini, 'sites-enabled/a.ini': text })
  const { problems } = loadSite(folder.path('sites-enabled/a.ini'), folder.server(), {})
  return problems.map((problem) => renderProblem(problem, folder.dir).replace('sites-enabled/a.ini', ''))
}

/** A value for each key, beside which it has a use; others in the same section stand behind a line end. */
const VALUES: Readonly<Record<string, string>> = {
  'site.type': 'fetch',
  'site.http_port': '80',
  'site.isolation': 'process',
  'site.pool': 'default',
  'site.user': `${process.getuid?.()}\ngroup = ${process.getgid?.()}`,
  'site.group': `${process.getgid?.()}\nuser = ${process.getuid?.()}`,
  'site.env_file': '../.env',
  'site.hsts': '1d\nhttps_only = yes',
  'limits.share': '5%',
  'static.index': 'a.html',
  'static.clean_urls': 'yes',
  'proxy.host_header': 'upstream',
  'cache.keep': 'yes',
  'cache.client_control': 'no',
  'log.format': 'json\naccess = ../a.log',
  'door.rate': '10/s',
  'options.a': '1',
  'env.A': 'b',
  'headers.X-A': 'b',
}

/** The kinds that take each of those keys. */
const TAKEN: Readonly<Record<string, string>> = {
  'site.type': 'module',
  'site.http_port': 'module',
  'site.isolation': 'module',
  'site.pool': 'module',
  'site.user': 'module command',
  'site.group': 'module command',
  'site.env_file': 'module command',
  'limits.share': 'module',
  'static.index': 'static',
  'static.clean_urls': 'static',
  'proxy.host_header': 'proxy command',
  'cache.keep': 'module command',
  'options.a': 'module',
  'env.A': 'module command',
}

for (const [name, value] of Object.entries(VALUES)) {
  test(`${name} is taken by the kinds that have a use for it, and refused by the others`, (t) => {
    const [section = '', key = ''] = name.split('.')
    const kinds = Object.entries(KINDS).filter(([kind, lines]) => {
      const more =
        name === 'site.user' || name === 'site.group' ? (kind === 'module' ? 'isolation = process\n' : '') : ''
      const cache = section === 'cache' && kind !== 'redirect' ? 'cache = yes\n' : ''
      const own = section === 'site' ? `${key} = ${value}\n` : ''
      const other = section === 'site' ? '' : `[${section}]\n${key} = ${value}\n`
      const to = kind === 'redirect' ? '[redirect]\nto = b.test\n' : ''
      const env = { 'public/a.html': '', '.env': 'A=b\n' }
      const folder = configFolder(t, {
        'sites-enabled/a.ini': `${SITE}${lines}${more}${cache}${own}${other}${to}`,
        ...env,
      })
      const { problems } = loadSite(folder.path('sites-enabled/a.ini'), folder.server(), {})
      for (const { message } of problems) assert.match(message, /^has no use /)
      return problems.length === 0
    })

    const expected = section === 'cache' ? 'module static proxy command' : Object.keys(KINDS).join(' ')
    assert.equal(kinds.map(([kind]) => kind).join(' '), TAKEN[name] ?? expected)
  })
}

test('a section without a use is told once, a key at its line', (t) => {
  assert.deepEqual(problemsOf(t, `${SITE}root = ../public\n[env]\nA = b\nB = c\n[proxy]\nbuffer = 0B\ntunnels = 1\n`), [
    ':4: [env]: has no use without module or command: name what answers, or take it away',
    ':7: [proxy]: has no use with kind = static: name an upstream or a command in [site], or take it away; a module gets every path that is no file',
  ])
  assert.deepEqual(problemsOf(t, `${SITE}root = ../public\nwatch = yes\n[limits]\nslow = 1s\nmax_body = 1x\n`), [
    ':4: [site] watch: has no use without module: name what answers, or take the line away',
    ':6: [limits] slow: has no use without module: name what answers, or take the line away',
    ':7: [limits] max_body: "1x" is not a size (such as 512KB, 10MB, 1GB)',
  ])
})

test('whoever says that a site is static is told what has no use, and whoever does not, what may be missing', (t) => {
  const lines = 'root = ../public\nuser = a\n[limits]\ntimeout = 1s\n'

  assert.deepEqual(problemsOf(t, `${SITE}kind = static\n${lines}`), [
    ':5: [site] user: has no use with kind = static: take the line away',
    ':7: [limits] timeout: has no use with kind = static: take the line away',
  ])
  assert.deepEqual(problemsOf(t, `${SITE}${lines}`), [
    ':4: [site] user: has no use without module or command: name what answers, or take the line away',
    ':6: [limits] timeout: has no use without module, upstream or command: name what answers, or take the line away',
  ])
  assert.deepEqual(problemsOf(t, `${SITE}${lines}`, '[defaults]\nkind = static\n'), [
    ':4: [site] user: has no use with kind = static: take the line away',
    ':6: [limits] timeout: has no use with kind = static: take the line away',
  ])
})

test('what has a use only beside another key is refused without it', (t) => {
  const module = `${SITE}${KINDS.module}`
  assert.deepEqual(problemsOf(t, `${module}[cache]\nmemory = 1MB\n`), [
    ':5: [cache]: has no use without [site] cache = yes',
  ])
  assert.deepEqual(problemsOf(t, `${module}hsts = 1d\n[log]\nformat = json\n[door]\nrealm = x\n`), [
    ':5: [site] hsts: has no use without https_only = yes',
    ':7: [log] format: has no use without access or error: name a file',
    ':9: [door] realm: has no use without auth: name the passwords',
  ])
  assert.deepEqual(problemsOf(t, `${module}[static]\nindex = a.html\n`), [
    ':6: [static] index: has no use without a folder of files: write /PATH = FOLDER beside it',
  ])
  assert.deepEqual(problemsOf(t, `${module}isolation = process\n[limits]\nshare = 5%\n`), [
    ':7: [limits] share: has no use with isolation = process: nobody else is in its process',
  ])
})

test('the format of an access log that is not kept, and options of what is no plugin, are refused', (t) => {
  const folder = configFolder(t, { 'logging.ini': '[access]\nformat = json\n' })

  const { problems } = loadServer(folder.path('vhostel.ini'))

  assert.deepEqual(
    problems.map((problem) => renderProblem(problem, folder.dir)),
    ['logging.ini:2: [access] format: has no use without file: name one, or take the line away'],
  )
  assert.deepEqual(problemsOf(t, `${SITE}${KINDS.module}type = fetch\n[options]\na = 1\n`), [
    ':6: [options]: has no use with type = fetch: options are for Fastify plugins',
  ])
  assert.deepEqual(problemsOf(t, `${SITE}${KINDS.module}type = fastify\n[options]\na = 1\n`), [])
})

test('what stands beside a switch that is off, or in [defaults], is left alone', (t) => {
  const off = `${SITE}${KINDS.module}cache = no\nhttps_only = no\nhsts = 1d\n[cache]\nmemory = 1MB\n`
  const ini =
    '[defaults]\nslow = 500ms\nwatch = yes\nrealm = x\nformat = json\nhsts = 1d\nmemory = 1MB\nbuffer = 0B\nindex = a.html\n'

  assert.deepEqual(problemsOf(t, off), [])
  for (const [kind, lines] of Object.entries(KINDS)) {
    const to = kind === 'redirect' ? '[redirect]\nto = b.test\n' : ''
    assert.deepEqual(problemsOf(t, `${SITE}${lines}${to}`, ini), [])
  }
})

test('a file that does not say what the site is, is told that and nothing of what may have a use', (t) => {
  assert.deepEqual(problemsOf(t, `${SITE}[env]\nA = b\n[limits]\nslow = 1s\n`), [
    ':1: [site] root: is missing: name the file to run (module = server.js) or the folder to serve (root = ../public)',
  ])
})
