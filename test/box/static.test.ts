/** Files, folders beside a module, and redirects, in one server. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { symlinkSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Box, Reply } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** Says what it was asked. */
const ECHO = `export default (req, res) => {
  let body = ''
  req.on('data', (chunk) => { body += chunk })
  req.on('end', () => res.end('module ' + req.method + ' ' + req.url + ' ' + body))
}`

const APP = {
  files: {
    'app/server.mjs': ECHO,
    'app/.env': 'secret',
    'public/robots.txt': 'robots',
    'public/sub/page.html': 'page',
    'public/indexed/index.html': 'indexed',
    'public/.hidden': 'secret',
    'assets/a.js': 'a.js',
    'assets/deep/b.css': 'b.css',
    'assets/a.js.gz': 'a.gz',
  },
  module: 'app/server.mjs',
  domains: 'app.test, www.app.test, *.app.test',
  more: 'canonical = app.test\n[static]\n/assets/ = assets\n/ = public\n',
}

const SITES = {
  app: APP,
  spa: {
    files: { 'www/index.html': 'spa', 'www/404.html': 'not here', 'dl/file.zip': 'zip' },
    ini: '[site]\ndomains = spa.test\nroot = ../sites/spa/www\n[static]\nnot_found = 404.html\n/dl = ../dl\n/dl/deep = ../dl\n',
  },
  old: { ini: '[site]\ndomains = old.test, *.wild.test\n[redirect]\nto = new.wild.test\n' },
  moved: { ini: '[site]\ndomains = moved.test\n[redirect]\nto = https://example.com/shop/\nstatus = 308\n' },
}

function leads({ status, headers }: Reply): string {
  return `${status} ${headers.location}`
}

async function say(box: Box, path: string, method = 'GET', body = ''): Promise<string> {
  const { status, text } = await box.ask('app', path, { method, body })
  return `${status} ${text}`
}

test('folders beside a module, static sites and redirects, in one server', async (t) => {
  const box = await startBox(t, SITES)

  await t.test('a file of a mounted folder goes before the module, and what is not there is the module’s', async () => {
    const cases: [path: string, wanted: string][] = [
      ['/assets/a.js', '200 a.js'],
      ['/assets/a.js?v=1', '200 a.js'],
      ['/assets/deep/b.css', '200 b.css'],
      ['/robots.txt', '200 robots'],
      ['/sub/page.html', '200 page'],
      ['/indexed/', '200 indexed'],
      ['/', '200 module GET / '],
      ['/assets', '200 module GET /assets '],
      ['/assets/', '200 module GET /assets/ '],
      ['/assets2/a.js', '200 module GET /assets2/a.js '],
      ['/assets/missing.js?a=b', '200 module GET /assets/missing.js?a=b '],
      ['/sub/', '200 module GET /sub/ '],
      ['/sub', '200 module GET /sub '],
      ['/.hidden', '200 module GET /.hidden '],
      ['/assets/../app/.env', '200 module GET /assets/../app/.env '],
      ['/assets/%2e%2e/app/server.mjs', '200 module GET /assets/%2e%2e/app/server.mjs '],
      ['/assets/%zz', '200 module GET /assets/%zz '],
      ['/%61ssets/a.js', '200 module GET /%61ssets/a.js '],
    ]

    for (const [path, wanted] of cases) {
      assert.equal(await say(box, path), wanted, path)
      assert.equal(await say(box, path), wanted, `${path} again`)
    }
    assert.equal(leads(await box.ask('app', '/indexed?a=b')), '301 /indexed/?a=b')
  })

  await t.test('only GET and HEAD are for a mounted folder', async () => {
    for (const method of ['POST', 'PUT', 'PATCH']) {
      assert.equal(await say(box, '/assets/a.js', method, 'body'), `200 module ${method} /assets/a.js body`)
    }
    const head = await box.ask('app', '/assets/a.js', { method: 'HEAD' })
    const gzip = await box.ask('app', '/assets/a.js', { headers: { 'accept-encoding': 'gzip' } })

    assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '4', ''])
    assert.deepEqual([gzip.headers['content-encoding'], gzip.text], ['gzip', 'a.gz'])
  })

  await t.test('a link out of a mounted folder leads nowhere', async () => {
    symlinkSync('../app/.env', join(box.dir, 'sites/app/public/leak.txt'))

    assert.equal(await say(box, '/leak.txt'), '200 module GET /leak.txt ')
  })

  await t.test('a client that sends half a request ahead loses nothing', async () => {
    const socket = connect(box.port, '127.0.0.1')
    const host = 'Host: app.test\r\n'
    socket.write(
      `GET /assets/no HTTP/1.1\r\n${host}\r\nGET /assets/a.js HTTP/1.1\r\n${host}\r\nGET /x HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
    )
    let text = ''
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
    await once(socket, 'close')

    assert.match(text, /module GET \/assets\/no .*a\.js.*module GET \/x /s)
  })

  await t.test('a static site has folders beside its root, and its own page for 404', async () => {
    const [file, missing, deep] = await Promise.all(
      ['/dl/file.zip', '/dl/none.zip', '/dl/deep/file.zip'].map((path) => box.ask('spa', path)),
    )

    assert.deepEqual([file?.status, file?.text], [200, 'zip'])
    assert.deepEqual([missing?.status, missing?.text], [404, 'not here'])
    assert.deepEqual([deep?.status, deep?.text], [200, 'zip'])
    assert.equal((await box.ask('spa', '/dl/file.zip', { method: 'POST' })).status, 405)
  })

  await t.test('other names of a site lead to its canonical one, with path, query and port', async () => {
    const at = `http://app.test:${box.port}`
    const host = `www.app.test:${box.port}`

    assert.equal(leads(await box.ask('app', '/a%20b?c=d', { headers: { host } })), `301 ${at}/a%20b?c=d`)
    assert.equal(leads(await box.ask('app', '/assets/a.js', { headers: { host } })), `301 ${at}/assets/a.js`)
    assert.equal(leads(await box.ask('app', '//evil.test/', { headers: { host } })), `301 ${at}//evil.test/`)
    assert.equal(leads(await box.ask('app', '/x', { headers: { host }, method: 'POST', body: 'b' })), `308 ${at}/x`)
    assert.equal(leads(await box.ask('app', '/', { headers: { host: 'WWW.App.test' } })), '301 http://app.test/')
    assert.equal(leads(await box.ask('app', 'http://www.app.test:81/x')), '301 http://app.test:81/x')
    assert.equal(await say(box, '/x'), '200 module GET /x ')
  })

  await t.test('a redirect keeps path and query, and a bare host scheme and port as well', async () => {
    assert.equal(leads(await box.ask('old', '/a?b=c')), '301 http://new.wild.test/a?b=c')
    assert.equal(
      leads(await box.ask('old', '/', { headers: { host: 'old.test:8080' } })),
      '301 http://new.wild.test:8080/',
    )
    assert.equal(leads(await box.ask('moved', '/a?b', { method: 'POST' })), '308 https://example.com/shop/a?b')
    assert.equal(
      leads(await box.ask('moved', '//evil.test/%0d%0aX:1')),
      '308 https://example.com/shop//evil.test/%0d%0aX:1',
    )
    assert.equal(leads(await box.ask('moved', '*', { method: 'OPTIONS' })), '308 https://example.com/shop/')
    // The name that visitors are sent to is covered by *.wild.test, and no other site has it.
    assert.equal((await box.ask('new.wild.test', '/')).status, 508)
    assert.equal((await box.site('old'))?.kind, 'redirect')
  })

  await t.test('settings that change are in force at once, and nothing of the ones before is left', async () => {
    assert.equal(await say(box, '/robots.txt'), '200 robots')
    box.write('sites-available/app.ini', `[site]\ndomains = app.test\nroot = ../sites/app\nmodule = app/server.mjs\n`)
    await box.reload()

    assert.equal(await say(box, '/robots.txt'), '200 module GET /robots.txt ')
    unlinkSync(join(box.dir, 'sites-enabled/app.ini'))
    await box.reload()
    assert.equal((await box.ask('app')).status, 421)
  })
})

test('what browsers are told to keep: all files, those that never change, and nothing of what is sent in their place', async (t) => {
  const forever = 'public, max-age=31536000, immutable'
  const files = {
    'www/index.html': 'spa',
    'www/assets/app-1a2b.js': 'js',
    'www/assets/app-1a2b.js.gz': 'gz',
    'www/font.woff2': 'font',
    'www/404.html': 'none',
    'built/x.css': 'css',
  }
  const keys = 'cache_control = no-cache\nimmutable = /assets, /built/ *.woff2\n'
  const site = (name: string, more: string) => ({
    files,
    ini: `[site]\ndomains = ${name}.test\nroot = ../sites/${name}/www\n[static]\n/built = ../built\n${more}`,
  })
  const box = await startBox(t, {
    spa: site('spa', `${keys}try = $uri, /index.html\n`),
    none: site('none', `${keys}not_found = 404.html\n`),
    usual: site('usual', ''),
  })
  const told = async (name: string, path: string, headers = {}): Promise<string> => {
    const reply = await box.ask(name, path, { headers })
    return `${reply.status} ${reply.headers['cache-control']}`
  }

  // Twice: from the disk, and from memory.
  for (let round = 1; round <= 2; round++) {
    assert.equal(await told('spa', '/'), '200 no-cache')
    assert.equal(await told('spa', '/assets/app-1a2b.js'), `200 ${forever}`)
    assert.equal(await told('spa', '/assets/app-1a2b.js', { 'accept-encoding': 'gzip' }), `200 ${forever}`)
    assert.equal(await told('spa', '/assets/app-1a2b.js', { range: 'bytes=0-0' }), `206 ${forever}`)
    assert.equal(await told('spa', '/built/x.css'), `200 ${forever}`)
    assert.equal(await told('spa', '/font.woff2'), `200 ${forever}`)
    assert.equal(await told('spa', '/assets/gone-9f9f.js'), '200 no-cache')
    assert.equal(await told('none', '/assets/gone-9f9f.js'), '404 no-store')
    assert.equal(await told('usual', '/assets/app-1a2b.js'), '200 public, max-age=0')
  }
  const { headers } = await box.ask('spa', '/font.woff2')
  assert.equal(await told('spa', '/font.woff2', { 'if-none-match': headers.etag }), `304 ${forever}`)
})
