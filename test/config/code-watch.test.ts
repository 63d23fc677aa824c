import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { CodeWatchOptions } from '../../src/config/code-watch.ts'
import { CodeWatch } from '../../src/config/code-watch.ts'
import { installMarks } from '../../src/config/install-marks.ts'
import type { ConfigFolder } from './config-folder.ts'
import { configFolder } from './config-folder.ts'

const DEADLINE_MS = 10_000

interface Watched {
  watch: CodeWatch
  /** Names of sites as reported, in order. */
  reported: string[]
  warnings: string[]
  /** Resolves once these were reported since the last call. */
  until(...sites: string[]): Promise<void>
}

function watched(t: TestContext, options: CodeWatchOptions = {}): Watched {
  const reported: string[] = []
  const warnings: string[] = []
  let changed = Promise.withResolvers<void>()
  const onChange = (site: string) => {
    reported.push(site)
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const log = { warn: (_fields: object, message: string) => void warnings.push(message), info: () => {} }
  const watch = new CodeWatch(onChange, log, { settle: { quietMs: 30, maxMs: 300 }, ...options })
  t.after(() => watch.close())
  const until = async (...sites: string[]) => {
    const late = setTimeout(() => changed.reject(new Error(`not in time: ${reported.join(' ')}`)), DEADLINE_MS)
    while (!sites.every((site) => reported.includes(site))) await changed.promise
    clearTimeout(late)
    reported.length = 0
  }
  return { watch, reported, warnings, until }
}

function code(t: TestContext): ConfigFolder {
  return configFolder(t, {
    'blog/server.js': '1',
    'blog/lib/a.js': '1',
    'blog/node_modules/p/index.js': '1',
    'shop/server.js': '1',
    'shared/x.js': '1',
  })
}

test('a change in a file of a site is reported for that site, and for every other that has it', async (t) => {
  const folder = code(t)
  const { watch, until, reported } = watched(t)
  watch.set('blog', [folder.path('blog/server.js'), folder.path('blog/lib/a.js'), folder.path('shared/x.js')])
  watch.set('shop', [folder.path('shop/server.js'), folder.path('shared/x.js')])
  await watch.whenReady()

  folder.put({ 'blog/lib/a.js': '2' })
  await until('blog')
  folder.put({ 'shop/server.js': '2' })
  await until('shop')
  assert.deepEqual(reported, [])
  folder.put({ 'shared/x.js': '2' })

  await until('blog', 'shop')
})

test('a fault in watching is told, and ends nothing', async (t) => {
  const folder = code(t)
  const told: unknown[] = []
  const log = {
    // The first thing to say is that there are too many folders.
    warn: ({ err }: { err?: Error }) => {
      if (err === undefined) throw new Error('the disk is full')
      told.push(err.message)
    },
    info: () => {},
  }
  const watch = new CodeWatch(() => {}, log, { maxFolders: 1 })
  t.after(() => watch.close())

  watch.set('blog', [folder.path('blog/server.js'), folder.path('blog/lib/a.js')])
  await watch.whenReady()

  assert.deepEqual(told, ['the disk is full'])
})

test('what a site writes beside its code is not reported', async (t) => {
  const folder = code(t)
  const { watch, until, reported } = watched(t)
  watch.set('blog', [folder.path('blog/server.js')])
  watch.set('shop', [folder.path('shop/server.js')])
  await watch.whenReady()

  folder.put({ 'blog/data.json': '{}', 'blog/lib/a.js': '2', 'blog/new.js': '1', 'blog/cache/x.js': '1' })
  folder.put({ 'shop/server.js': '2' })
  await until('shop')

  assert.deepEqual(reported, [])
})

test('a checkout of many files is one report', async (t) => {
  const folder = code(t)
  const { watch, until, reported } = watched(t, { settle: { quietMs: 100, maxMs: 5000 } })
  const files = Array.from({ length: 50 }, (_, index) => `blog/f${index}.js`)
  folder.put(Object.fromEntries(files.map((file) => [file, '1'])))
  watch.set('blog', files.map(folder.path))
  await watch.whenReady()

  for (const file of files) folder.remove(file)
  folder.put(Object.fromEntries(files.map((file) => [file, '2'])))
  await until('blog')
  folder.put({ 'blog/f1.js': '3' })
  await until('blog')

  assert.deepEqual(reported, [])
})

test('a whole folder that another one is swapped in for is a change, and the new one is watched', async (t) => {
  const folder = code(t)
  folder.put({ 'next/server.js': '2', 'next/lib/a.js': '2' })
  const { watch, until } = watched(t)
  watch.set('blog', [folder.path('blog/server.js'), folder.path('blog/lib/a.js')])
  await watch.whenReady()

  renameSync(folder.path('blog'), folder.path('old'))
  renameSync(folder.path('next'), folder.path('blog'))
  await until('blog')

  // The first report may be the one that comes after a swap in any case.
  for (const content of ['3', '4', '5']) {
    folder.put({ 'blog/lib/a.js': content })
    await until('blog')
  }
})

test('a folder that moves with the one above it is found when inodes are compared', async (t) => {
  const folder = configFolder(t, { 'apps/blog/src/server.js': '1', 'next/blog/src/server.js': '1' })
  const { watch, until } = watched(t, { compareMs: 20 })
  watch.set('blog', [folder.path('apps/blog/src/server.js')])
  await watch.whenReady()

  renameSync(folder.path('apps'), folder.path('old'))
  renameSync(folder.path('next'), folder.path('apps'))
  await until('blog')

  for (const content of ['2', '3', '4']) {
    folder.put({ 'apps/blog/src/server.js': content })
    await until('blog')
  }
})

test('a release that a link is made to lead to is a change', async (t) => {
  const folder = configFolder(t, {
    'releases/1/server.js': '1',
    'releases/2/server.js': '2',
    current: { link: 'releases/1' },
  })
  const { watch, until } = watched(t)
  watch.set('blog', [folder.path('current/server.js'), folder.path('releases/1/server.js')])
  await watch.whenReady()

  folder.put({ 'releases/1/server.js': '1b' })
  await until('blog')
  folder.put({ current: { link: 'releases/2' } })

  await until('blog')
})

test('files can be set again, and a site without files is forgotten', async (t) => {
  const folder = code(t)
  const { watch, until, reported } = watched(t)
  watch.set('blog', [folder.path('blog/server.js')])
  watch.set('shop', [folder.path('shop/server.js')])
  await watch.whenReady()

  watch.set('blog', [folder.path('blog/lib/a.js'), folder.path('shared/x.js')])
  watch.set('shop', [])
  folder.put({ 'blog/server.js': '2', 'shop/server.js': '2' })
  // A folder that came later is watched a moment later: written until it is seen.
  const writer = setInterval(() => folder.put({ 'shared/x.js': String(performance.now()) }), 20)
  t.after(() => clearInterval(writer))
  await until('blog')
  clearInterval(writer)

  assert.ok(!reported.includes('shop'))
})

test('folders beyond the limit are given up with a warning, those of packages first', async (t) => {
  const folder = code(t)
  const { watch, until, warnings } = watched(t, { maxFolders: 2 })
  watch.set('blog', [
    folder.path('blog/node_modules/p/index.js'),
    folder.path('blog/server.js'),
    folder.path('blog/lib/a.js'),
  ])
  await watch.whenReady()

  folder.put({ 'blog/node_modules/p/index.js': '2', 'blog/lib/a.js': '2' })
  await until('blog')
  folder.put({ 'blog/server.js': '2' })
  await until('blog')

  assert.deepEqual(warnings, ['too many folders to watch: changes in the last ones are not seen at once'])
})

test('folders that are not used any more are let go', async (t) => {
  const folder = code(t)
  const names = Array.from({ length: 300 }, (_, index) => `many/d${index}/x.js`)
  folder.put(Object.fromEntries(names.map((name) => [name, '1'])))
  const { watch, until } = watched(t)
  watch.set('blog', names.map(folder.path))
  await watch.whenReady()

  watch.set('blog', [folder.path('many/d7/x.js')])
  await watch.whenReady()
  folder.put({ 'many/d8/x.js': '2' })
  folder.put({ 'many/d7/x.js': '2' })

  await until('blog')
})

test('packages that are installed anew are a change once all are there, not while they are away', async (t) => {
  const mark = 'blog/node_modules/.package-lock.json'
  const folder = configFolder(t, {
    'blog/app/server.js': '1',
    'blog/package.json': '{}',
    [mark]: '{}',
    'shop/x.js': '1',
  })
  const { watch, until, reported } = watched(t)
  watch.set('blog', [folder.path('blog/app/server.js'), ...installMarks(folder.path('blog/app/server.js'))])
  watch.set('shop', [folder.path('shop/x.js')])
  await watch.whenReady()

  rmSync(folder.path('blog/node_modules'), { recursive: true })
  mkdirSync(folder.path('blog/node_modules'))
  folder.put({ 'blog/node_modules/p/index.js': '2' })
  // The kernel tells of this one after the others.
  folder.put({ 'shop/x.js': '2' })
  await until('shop')
  assert.deepEqual(reported, [])
  folder.put({ [mark]: '{}' })

  await until('blog')
})
