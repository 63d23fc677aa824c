import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FOREIGN_WORDS, foreignWord } from '../../src/config/foreign-words.ts'
import { loadServer } from '../../src/config/load-server.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { loggingSchema, serverSchema } from '../../src/config/server-schema.ts'
import type { FileSchema } from '../../src/config/settings.ts'
import { describeSchema } from '../../src/config/settings.ts'
import { siteSchema } from '../../src/config/site-schema.ts'
import { configFolder, siteText } from './config-folder.ts'

const SCHEMAS: readonly FileSchema[] = [siteSchema, serverSchema, loggingSchema]

/** Whether a file can say that: a section of any keys, one of paths, or a key. */
function has(schema: FileSchema, section: string, key: string | undefined): boolean {
  const known = describeSchema(schema).get(section)
  if (known === undefined) return false
  if (key === undefined) return known.anyKey !== undefined
  return key.startsWith('/') ? known.pathKeys !== undefined : known.keys.has(key)
}

test('what a word of another server is called here is there, and all of it in one file', () => {
  for (const word of FOREIGN_WORDS) {
    const text = foreignWord(word) ?? ''
    const targets = [...text.matchAll(/\[(\w+)\](?: ([\w/]+))?/g)]
    const isOf = (schema: FileSchema): boolean => targets.every(([, section = '', key]) => has(schema, section, key))
    assert.ok(SCHEMAS.some(isOf), `${word}: ${text}`)
  }
})

test('no word is one of ours, in any spelling, and none is there twice', () => {
  const plain = (word: string): string => word.replaceAll('_', '')
  const ours = SCHEMAS.flatMap((schema) =>
    [...describeSchema(schema)].flatMap(([name, { keys }]) => [name, ...keys.keys()]),
  )
  const known = new Set(ours.map(plain))

  assert.deepEqual(
    FOREIGN_WORDS.filter((word) => known.has(plain(word))),
    [],
  )
  assert.equal(new Set(FOREIGN_WORDS.map(plain)).size, FOREIGN_WORDS.length)
})

for (const [text, problem] of [
  ['[site]\nserver_name = a.test\n', '[site] server_name: the key is not known; in vhostel: domains'],
  ['[site]\nServerName = a.test\n', '[site] ServerName: the key is not known; in vhostel: domains'],
  ['[site]\nwsgi-file = a.py\n', /^\[site\] wsgi-file: the key is not known; in vhostel: command, with .*gunicorn/],
  ['[site]\ntry_files = /a\n', '[site] try_files: the key is not known; in vhostel: [static] try'],
  ['[static]\ntry_files = /a\n', '[static] try_files: the key is not known; in vhostel: try'],
  [
    '[site]\ninstances = 4\n',
    '[site] instances: the key is not known; in vhostel: [pool] processes and [pool] threads, for all sites together (in vhostel.ini)',
  ],
  ['[site]\nenv = production\n', '[site] env: the key is not known; [env] is a section'],
  ['[site]\npool_size = 1\nacme = yes\n', '[site] acme: the key is not known; [acme] is a section of vhostel.ini'],
  ['[domains]\na = b\n', '[domains]: the section is not known; domains is a key of [site]'],
  ['[rate_limit]\na = b\n', /^\[rate_limit\]: the section is not known; in vhostel: \[door\] rate,/],
  // Ours, and of the same name elsewhere.
  ['[site]\nallow = all\n', '[site] allow: the key is not known here; it belongs in [door]'],
  ['[site]\nprocesses = 2\n', '[site] processes: the key is not known here; it belongs in [pool] of vhostel.ini'],
] as const) {
  test(`a site with ${JSON.stringify(text)} is told what it is called here`, (t) => {
    const folder = configFolder(t, { 'sites-enabled/a.ini': text })

    const { problems } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

    const told = problems.map((one) => renderProblem(one, folder.dir).replace(/^\S+: /, ''))
    const isTold = (line: string): boolean => (typeof problem === 'string' ? line === problem : problem.test(line))
    assert.ok(told.some(isTold), told.join('\n'))
  })
}

test('in vhostel.ini what belongs to a site is said to be of its file, but for what [defaults] takes', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini':
      '[server]\nserver_name = a\nkeepalive_timeout = 1s\n[defaults]\nclient_max_body_size = 1\ngzip = on\n',
  })

  const { problems } = loadServer(folder.path('vhostel.ini'))

  assert.deepEqual(
    problems.map((one) => renderProblem(one, folder.dir)),
    [
      "vhostel.ini:2: [server] server_name: the key is not known; in vhostel: [site] domains (in a site's own file)",
      'vhostel.ini:3: [server] keepalive_timeout: the key is not known; in vhostel: idle_timeout',
      'vhostel.ini:5: [defaults] client_max_body_size: the key is not known; in vhostel: max_body',
      'vhostel.ini:6: [defaults] gzip: the key is not known; in vhostel: compress, which is on already',
    ],
  )
})

test('in the sections where any key may be set, words of other servers are keys like others', (t) => {
  const folder = configFolder(t, { 'sites-enabled/a.ini': siteText('a.test', '[env]\nPORT = 1\nproxy_pass = x\n') })

  const { problems, config } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

  assert.deepEqual(problems, [])
  assert.deepEqual(config?.env, { PORT: '1', proxy_pass: 'x' })
})
