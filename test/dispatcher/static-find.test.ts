import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Answer } from '../helpers/static-server.ts'
import { ask, openFilesIn, serve, until } from '../helpers/static-server.ts'

const none = (): void => {}

/** Status, and where it leads or what it says. */
function short({ status, headers, body }: Answer): string {
  return `${status} ${headers.location ?? body.toString()}`
}

test('a single-page application answers with its page for whatever is no file', async (t) => {
  const tries = ['$uri', '/index.html']
  const files = { 'index.html': 'app', 'a.js': 'js', 'sub/x.txt': 'x', '.env': 'secret' }
  const served = await serve(t, files, ['index.html'], none, { tries })

  for (const path of ['/', '/users/42', '/sub', '/sub/', '/a.js/', '/users/42?tab=1']) {
    assert.equal(short(await ask(served, path)), '200 app', path)
  }
  assert.equal(short(await ask(served, '/a.js')), '200 js')
  assert.equal((await ask(served, '/users')).headers['content-type'], 'text/html; charset=utf-8')
  for (const path of ['/.env', '/../x']) assert.equal((await ask(served, path)).status, 404, path)
})

test('what is tried is tried in its order', async (t) => {
  const tries = ['$uri.html', '$uri', '$uri/', '/fallback/']
  const files = { 'a.html': 'a.html', a: 'a', 'b/index.html': 'b', 'fallback/index.html': 'fallback' }
  const served = await serve(t, files, ['index.html'], none, { tries })

  assert.equal(short(await ask(served, '/a')), '200 a.html')
  assert.equal(short(await ask(served, '/b')), '301 /b/')
  assert.equal(short(await ask(served, '/b/')), '200 b')
  assert.equal(short(await ask(served, '/c')), '200 fallback')
  assert.equal(short(await ask(served, '/a/')), '200 fallback')
})

test('clean URLs: a page is at its name without .html, and only there', async (t) => {
  const tries = ['$uri', '$uri.html', '$uri/']
  const files = {
    'index.html': 'home',
    'about.html': 'about',
    'sub/index.html': 'sub',
    'sub/ä b.html': 'deep',
    'both.html': 'both.html',
    both: 'both',
    'x.html/index.html': 'folder',
  }
  const served = await serve(t, files, ['index.html'], none, { tries, cleanUrls: true })
  const cases: [path: string, wanted: string][] = [
    ['/about', '200 about'],
    ['/about.html', '301 /about'],
    ['/about.html?a=b', '301 /about?a=b'],
    ['/index.html', '301 /'],
    ['/sub/index.html', '301 /sub/'],
    ['/sub', '301 /sub/'],
    ['/sub/%C3%A4%20b', '200 deep'],
    ['/sub/%C3%A4%20b.html', '301 /sub/%C3%A4%20b'],
    ['//about.html', '301 /about'],
    // What is at /both is another file.
    ['/both.html', '200 both.html'],
    ['/both', '200 both'],
    ['/x.html/', '200 folder'],
  ]

  for (const [path, wanted] of cases) assert.equal(short(await ask(served, path)), wanted, path)
  assert.equal((await ask(served, '/missing.html')).status, 404)
})

test('a page of its own is sent with 404, and the usual one where it is gone', async (t) => {
  const files = { 'err/404.html': '<p>not here', 'a.txt': 'a' }
  const served = await serve(t, files, [], none, { notFound: 'err/404.html' })
  const without = await serve(t, files, [], none, { notFound: 'gone.html' })
  const outside = await serve(t, files, [], none, { notFound: 'leak.html' })
  writeFileSync(join(outside.dir, 'secret.html'), 'secret')
  symlinkSync('../secret.html', join(outside.dir, 'root/leak.html'))

  const answer = await ask(served, '/nothing', ['If-None-Match: *', 'Range: bytes=0-1'])
  const head = await ask(served, '/nothing', [], 'HEAD')

  assert.deepEqual(
    [answer.status, answer.body.toString(), answer.headers['content-type'], answer.headers['cache-control']],
    [404, '<p>not here', 'text/html; charset=utf-8', 'no-store'],
  )
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [404, '11', 0])
  for (const other of [without, outside]) {
    assert.equal(short(await ask(other, '/nothing')), '404 404 Not Found\nThere is no such page here.\n')
  }
  assert.equal((await ask(served, '/.env')).body.toString(), '<p>not here')
  await until('all files are closed', () => openFilesIn(outside.dir) === 0)
})

test('a folder is listed only where that is wanted, without dotfiles, and every name leads to itself', async (t) => {
  const names = ['a.txt', '<b>"&\'.txt', 'c:d.txt', 'e#f?g%.txt', '.hidden', 'sub/x.txt']
  const files = Object.fromEntries(names.map((name) => [name, name]))
  const served = await serve(t, files, ['index.html'], none, { listing: true })
  const closed = await serve(t, files)

  const page = await ask(served, '/')
  const hrefs = [...page.body.toString().matchAll(/href="([^"]*)"/g)].map(([, href]) => href)

  assert.equal((await ask(closed, '/')).status, 404)
  assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8'])
  assert.equal(hrefs.length, 5)
  assert.equal(hrefs[0], 'sub/')
  assert.doesNotMatch(page.body.toString(), /hidden|<b>/)
  for (const href of hrefs.slice(1)) {
    assert.equal((await ask(served, `/${href}`)).body.toString(), decodeURIComponent(href ?? ''))
  }
  assert.equal(short(await ask(served, '/sub')), '301 /sub/')
  assert.match((await ask(served, '/sub/')).body.toString(), /href="\.\.\/"/)
  assert.equal((await ask(served, '/', [], 'HEAD')).body.length, 0)
})

test('a folder outside of the root is not listed, whatever leads to it', async (t) => {
  const served = await serve(t, { 'a.txt': 'a' }, [], none, { listing: true })
  mkdirSync(join(served.dir, 'private'))
  writeFileSync(join(served.dir, 'private/secret.txt'), '')
  symlinkSync('../private', join(served.dir, 'root/link'))
  symlinkSync('..', join(served.dir, 'root/up'))

  for (const path of ['/link', '/link/', '/up', '/up/', '/link/secret.txt']) {
    assert.equal((await ask(served, path)).status, 404, path)
  }
  await until('all are closed', () => openFilesIn(served.dir) === 0)
})

// ---- compressed neighbours ---------------------------------------------------------------------------------------

const COMPRESSED = { 'a.js': 'plain', 'a.js.br': 'br', 'a.js.zst': 'zstd!', 'a.js.gz': 'gzip' }
const CHOICES: [accept: string | undefined, wanted: string][] = [
  [undefined, 'plain'],
  ['', 'plain'],
  ['gzip', 'gzip'],
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip, zstd', 'zstd!'],
  ['gzip;q=1, br;q=0.5', 'gzip'],
  ['br;q=0, gzip', 'gzip'],
  ['*', 'br'],
  ['br;q=0, *', 'zstd!'],
  ['identity, gzip;q=0.1', 'plain'],
  ['deflate', 'plain'],
  ['nonsense;;q=,', 'plain'],
]

test('the form that a client likes best is sent, with the type of the original and a tag of its own', async (t) => {
  const served = await serve(t, COMPRESSED)
  const tags = new Set<string | undefined>()

  for (const [accept, wanted] of CHOICES) {
    const answer = await ask(served, '/a.js', accept === undefined ? [] : [`Accept-Encoding: ${accept}`])
    const name = { plain: undefined, 'zstd!': 'zstd' }[wanted] ?? (wanted === 'plain' ? undefined : wanted)

    assert.equal(answer.body.toString(), wanted, accept)
    assert.deepEqual(
      [answer.headers['content-type'], answer.headers.vary, answer.headers['content-encoding']],
      ['text/javascript; charset=utf-8', 'Accept-Encoding', name],
    )
    tags.add(answer.headers.etag)
  }
  assert.equal(tags.size, 4)
})

test('conditions and ranges are about the form that is chosen', async (t) => {
  const served = await serve(t, COMPRESSED)
  const gzip = 'Accept-Encoding: gzip'
  const { etag } = (await ask(served, '/a.js', [gzip])).headers

  const known = await ask(served, '/a.js', [gzip, `If-None-Match: ${etag}`])
  const other = await ask(served, '/a.js', [`If-None-Match: ${etag}`])
  const part = await ask(served, '/a.js', [gzip, 'Range: bytes=1-2', `If-Range: ${etag}`])
  const stale = await ask(served, '/a.js', ['Range: bytes=1-2', `If-Range: ${etag}`])
  const several = await ask(served, '/a.js', [gzip, 'Range: bytes=0-0,2-2'])

  assert.deepEqual([known.status, known.headers.vary, known.headers.etag], [304, 'Accept-Encoding', etag])
  assert.equal(other.status, 200)
  assert.deepEqual([part.status, part.body.toString(), part.headers['content-range']], [206, 'zi', 'bytes 1-2/4'])
  assert.deepEqual([stale.status, stale.body.toString()], [200, 'plain'])
  assert.deepEqual([several.status, several.headers['content-encoding']], [206, 'gzip'])
})

test('a compressed file is a file of its own as well, and counts for nothing where that is not wanted', async (t) => {
  const served = await serve(t, { ...COMPRESSED, 'only.css.gz': 'x', 'none.css': 'none' })
  const off = await serve(t, COMPRESSED, [], none, { precompressed: false })
  const accept = ['Accept-Encoding: gzip']

  const itself = await ask(served, '/a.js.gz', accept)
  const without = await ask(served, '/none.css', accept)

  assert.deepEqual(
    [itself.headers['content-type'], itself.headers['content-encoding']],
    ['application/gzip', undefined],
  )
  assert.deepEqual([without.headers.vary, without.body.toString()], [undefined, 'none'])
  assert.equal((await ask(served, '/only.css', accept)).status, 404)
  assert.deepEqual(short(await ask(off, '/a.js', accept)), '200 plain')
})

test('a compressed neighbour that leads out of the root is not sent', async (t) => {
  const served = await serve(t, { 'a.js': 'plain' })
  writeFileSync(join(served.dir, 'secret'), 'secret')
  symlinkSync('../secret', join(served.dir, 'root/a.js.gz'))

  const answer = await ask(served, '/a.js', ['Accept-Encoding: gzip'])

  assert.deepEqual([short(answer), answer.headers['content-encoding']], ['200 plain', undefined])
})
