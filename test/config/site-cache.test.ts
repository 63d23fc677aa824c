import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadSite } from '../../src/config/load-site.ts'
import { configFolder, siteText } from './config-folder.ts'

test('compress and cache are read, with [cache] for what is stored', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[server]\ncache_memory = 1GB\n[defaults]\ncompress = no\n',
    'sites-enabled/on.ini': siteText('on.test', 'cache = on\n[cache]\nmemory = 10MB\nkeep = yes\n'),
    'sites-enabled/off.ini': siteText('off.test', 'compress = yes\n'),
  })
  const server = folder.server()
  const load = (name: string) => loadSite(folder.path(`sites-enabled/${name}`), server, {}).config

  assert.equal(server.cacheMemoryBytes, 1024 ** 3)
  assert.deepEqual(
    [load('on.ini')?.compress, load('on.ini')?.cache],
    [false, { memoryBytes: 10 * 1024 ** 2, largestBytes: 4 * 1024 ** 2, clientControl: true, keep: true }],
  )
  assert.deepEqual([load('off.ini')?.compress, load('off.ini')?.cache], [true, undefined])
})

test('what is wrong in them is told with its place and its cure', (t) => {
  const folder = configFolder(t, {
    'sites-enabled/bad.ini': siteText(
      'bad.test',
      'compress = maybe\ncache = 5m\n[cache]\nmemory = many\nlargest = -1\nsize = 1MB\n',
    ),
  })

  const { problems, config } = loadSite(folder.path('sites-enabled/bad.ini'), folder.server(), {})

  assert.equal(config, undefined)
  assert.deepEqual(
    problems.map(({ line, section, key }) => [line, section, key]),
    [
      [5, 'site', 'compress'],
      [6, 'site', 'cache'],
      [8, 'cache', 'memory'],
      [9, 'cache', 'largest'],
      [10, 'cache', 'size'],
    ],
  )
  assert.match(problems[1]?.message ?? '', /"5m" is neither yes nor no/)
  assert.match(problems[2]?.message ?? '', /"many" is not a size/)
})
