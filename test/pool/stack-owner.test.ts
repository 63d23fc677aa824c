import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PoolSite } from '../../src/pool/pool-site.ts'
import { culpritOf } from '../../src/pool/stack-owner.ts'
import { LIMITS, laneOf } from '../helpers/pool-limits.ts'

/** @param files that it loaded, beside its module */
function siteIn(root: string, files: string[] = []): PoolSite {
  const site = new PoolSite(root, laneOf(root), LIMITS, () => {})
  site.order = {
    generation: 1,
    site: root,
    root,
    module: `${root}/app.js`,
    type: 'auto',
    args: [],
    httpPort: undefined,
    env: {},
    options: {},
    startTimeoutMs: 1000,
    stopTimeoutMs: 1000,
  }
  site.loaded = { shape: 'handler', files, tookMs: 1 }
  return site
}

function stack(...files: string[]): string {
  return files.map((file, index) => `    at call${index} (${file}:${index + 1}:7)`).join('\n')
}

test('the innermost frame that is a site’s tells whose code runs', () => {
  const [a, b] = [siteIn('/srv/a'), siteIn('/srv/b')]

  const culprit = culpritOf(stack('/usr/lib/other.js', '/srv/b/loop.js', '/srv/a/app.js'), [a, b])

  assert.equal(culprit, b)
})

test('a frame without a function’s name, and one of an asynchronous call, count too', () => {
  const site = siteIn('/srv/a')

  for (const line of ['    at /srv/a/x.js:1:2', '    at async /srv/a/x.js:1:2', '    at async f (/srv/a/x.js:1:2)']) {
    assert.equal(culpritOf(line, [site]), site, line)
  }
})

test('a stack without any site’s file, and an empty one, are nobody’s', () => {
  const site = siteIn('/srv/a')

  assert.equal(culpritOf('', [site]), undefined)
  assert.equal(culpritOf(stack('/usr/lib/x.js', 'node:internal/timers', '<anonymous>'), [site]), undefined)
  assert.equal(culpritOf(stack('/srv/a/x.js'), []), undefined)
})

test('packages that several sites find are passed over for the frame that called them', () => {
  const [a, b] = [siteIn('/srv/a'), siteIn('/srv/b')]

  const culprit = culpritOf(stack('/srv/node_modules/lib/x.js', '/srv/b/app.js'), [a, b])

  assert.equal(culprit, b)
})

test('packages of a site that is around another are not held against the outer one', () => {
  const [outer, inner] = [siteIn('/srv'), siteIn('/srv/inner')]

  const culprit = culpritOf(stack('/srv/node_modules/lib/x.js', '/srv/inner/app.js'), [outer, inner])

  assert.equal(culprit, inner)
})

test('packages in a site’s own folder are its own', () => {
  const [a, b] = [siteIn('/srv/a'), siteIn('/srv/b')]

  assert.equal(culpritOf(stack('/srv/a/node_modules/lib/x.js', '/srv/b/app.js'), [a, b]), a)
  assert.equal(culpritOf(stack('/srv/a/sub/node_modules/lib/x.js'), [a, b]), a)
})

test('a file that two sites loaded is passed over, and one that a single site loaded is its own', () => {
  const [a, b] = [siteIn('/srv/a', ['/lib/both.js', '/lib/mine.js']), siteIn('/srv/b', ['/lib/both.js'])]

  assert.equal(culpritOf(stack('/lib/both.js', '/srv/b/app.js'), [a, b]), b)
  assert.equal(culpritOf(stack('/lib/mine.js', '/srv/b/app.js'), [a, b]), a)
})

test('a file in a folder inside another site’s is of the inner site, unless the outer one loaded it too', () => {
  const [outer, inner] = [siteIn('/srv'), siteIn('/srv/inner')]
  const loader = siteIn('/srv', ['/srv/inner/x.js'])

  assert.equal(culpritOf(stack('/srv/inner/x.js'), [outer, inner]), inner)
  assert.equal(culpritOf(stack('/srv/x.js'), [outer, inner]), outer)
  assert.equal(culpritOf(stack('/srv/inner/x.js'), [loader, inner]), undefined)
})

test('sites that share a folder are told apart by nothing', () => {
  assert.equal(culpritOf(stack('/srv/a/x.js'), [siteIn('/srv/a'), siteIn('/srv/a')]), undefined)
})

test('a folder whose name begins like, or whose path ends like, a site’s is not that site’s', () => {
  const [a, whole] = [siteIn('/a'), siteIn('/srv/a')]

  assert.equal(culpritOf(stack('/srv/abc/x.js'), [whole]), undefined)
  assert.equal(culpritOf(stack('/srv/a/x.js'), [a]), undefined)
  assert.equal(culpritOf(stack('/backup/srv/a/app.js'), [whole]), undefined)
})

test('paths may have spaces and characters that mean something in a regular expression', () => {
  for (const root of ['/srv/my site', '/srv/a+b.(c)[d]$^|', '/srv/a (copy)', '/srv/a:1']) {
    const site = siteIn(root)

    assert.equal(culpritOf(stack(`${root}/x y.js`), [site]), site, root)
    assert.equal(culpritOf(`    at ${root}/x.js:1:2`, [site]), site, root)
  }
})

test('a site that has no order any more is still known by what it loaded', () => {
  const [gone, never] = [siteIn('/srv/a', ['/lib/x.js']), siteIn('/srv/b')]
  gone.order = undefined
  never.order = undefined
  never.loaded = undefined

  assert.equal(culpritOf(stack('/lib/x.js'), [gone, never]), gone)
  assert.equal(culpritOf(stack('/srv/a/x.js', '/srv/b/x.js'), [gone, never]), undefined)
})
