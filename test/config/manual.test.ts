import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { configurationPage } from '../../scripts/build-config-docs.ts'
import { loadAll } from '../../src/config/load-all.ts'
import { renderProblems } from '../../src/config/problems.ts'
import { loggingSchema, namedPoolSchema, serverSchema } from '../../src/config/server-schema.ts'
import type { FileSchema, SectionMeta } from '../../src/config/settings.ts'
import { describeSchema, shapeOf } from '../../src/config/settings.ts'
import { DEFAULTABLE_SECTIONS, siteSchema } from '../../src/config/site-schema.ts'
import { makePair } from '../helpers/certificates.ts'
import { configFolder } from './config-folder.ts'

/** What `certificate` and `key` of the examples name. */
const PAIR = makePair(['example.com'])
const EXAMPLE = new URL('../../etc-example/', import.meta.url)
const SITES = readdirSync(new URL('sites-available/', EXAMPLE)).map((name) => `sites-available/${name}`)

function example(file: string): string {
  return readFileSync(new URL(file, EXAMPLE), 'utf8')
}

/** `key = value` and `; key = value` lines of each section. */
function linesOf(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>()
  let keys = new Map<string, string>()
  for (const line of text.split('\n')) {
    const header = /^\[(\w+)\]$/.exec(line)?.[1]
    if (header !== undefined) {
      keys = new Map()
      sections.set(header, keys)
    }
    const [, key, value] = /^(?:; )?(\w+) = (.*)$/.exec(line) ?? []
    if (key !== undefined && value !== undefined) keys.set(key, value)
  }
  return sections
}

test('docs/configuration.md is what scripts/build-config-docs.ts makes of the schemas', () => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

  assert.ok(page === configurationPage(), 'run: node scripts/build-config-docs.ts')
})

test('every section and key of the schemas is explained, and its type is named', () => {
  for (const schema of [serverSchema, namedPoolSchema, loggingSchema, siteSchema]) {
    for (const { name, doc, keys } of describeSchema(schema as FileSchema).values()) {
      assert.ok(doc.length > 10, name)
      for (const [key, meta] of keys) assert.ok(meta.doc.length > 10 && meta.type !== '', `[${name}] ${key}`)
    }
  }
})

test("no key of a site's sections has the name of another, because [defaults] has no sections", () => {
  const keys = DEFAULTABLE_SECTIONS.flatMap((name) => Object.keys(shapeOf(siteSchema.shape[name])))

  assert.equal(new Set(keys).size, keys.length)
})

test('etc-example loads without a problem, and so does each of its sites once it is enabled', async (t) => {
  const enabled = await loadAll(new URL('vhostel.ini', EXAMPLE).pathname, {})
  const folder = configFolder(t, {
    ...Object.fromEntries(['vhostel.ini', 'logging.ini', ...SITES].map((file) => [file, example(file)])),
    ...Object.fromEntries(SITES.map((file) => [file.replace('available', 'enabled'), { link: `../${file}` }])),
    'www/module/server.js': '',
    'www/static/index.html': '',
    'www/command/hello.txt': '',
  })

  const all = await loadAll(folder.path('vhostel.ini'), {})

  assert.equal(renderProblems(enabled.problems, enabled.server.dir), '')
  assert.deepEqual([...enabled.table.sites.keys()], ['example-static'])
  assert.equal(renderProblems(all.problems, all.server.dir), '')
  assert.equal(all.table.sites.size, SITES.length)
})

test("every key of the server's own files in etc-example is commented out, as they say", () => {
  for (const file of ['vhostel.ini', 'logging.ini']) {
    const text = example(file)
    assert.match(text, /Every key is here, commented out,/, file)
    assert.deepEqual(text.match(/^\w+ = .*$/gm), null, file)
  }
})

test('every line of etc-example that is commented out is good once it is not', async (t) => {
  // Whom sites run as depends on who starts the server.
  const uncommented = (file: string) =>
    example(file)
      .replace(/^; (?:user|group) = .*$/gm, '')
      .replace(/^; ((?:\w+(?:\[\])?|\/\w*) = )/gm, '$1')
  const folder = configFolder(t, {
    // For all sites at once these two would make a module of the static one.
    'vhostel.ini': uncommented('vhostel.ini').replace('kind = module\n', '').replace('module = server.js\n', ''),
    'logging.ini': uncommented('logging.ini'),
    ...Object.fromEntries(SITES.map((file) => [file, uncommented(file)])),
    ...Object.fromEntries(SITES.map((file) => [file.replace('available', 'enabled'), { link: `../${file}` }])),
    'sites-available/.env': '',
    'sites-available/fullchain.pem': PAIR.cert,
    'sites-available/privkey.pem': PAIR.key,
    'sites-available/backend-ca.pem': PAIR.cert,
    htpasswd: 'admin:$2y$04$GPNzp4u3NwDc0wPB3rEo1u5RlA/1SnSlg9b8ipivaTq3hwRZh6qfa\n',
    'ca.pem': '-----BEGIN CERTIFICATE-----',
    'www/module/server.js': '',
    'www/downloads/file.zip': '',
    'www/static/index.html': '',
    'www/command/hello.txt': '',
  })

  const { problems, server } = await loadAll(folder.path('vhostel.ini'), { DATABASE_URL: 'x' })

  assert.equal(renderProblems(problems, server.dir), '')
})

/** Each key of a section, with the default that etc-example has to give it. */
function assertNamed(section: SectionMeta, standardOf: (key: string) => string | undefined, text: string): void {
  const named = linesOf(text).get(section.name) ?? new Map<string, string>()
  for (const key of section.keys.keys()) {
    assert.ok(named.has(key), `[${section.name}] ${key} is missing`)
    const standard = standardOf(key)
    if (standard !== undefined) assert.equal(named.get(key), standard, `[${section.name}] ${key}`)
  }
}

test('etc-example names every key, with its default', () => {
  const site = describeSchema(siteSchema as FileSchema)
  const siteDefault = (key: string) =>
    [...site.values()].map(({ keys }) => keys.get(key)?.default).find((standard) => standard !== undefined)

  const server = example('vhostel.ini')
  for (const section of describeSchema(serverSchema as FileSchema).values()) {
    const own = (key: string) => section.keys.get(key)?.default
    assertNamed(section, section.name === 'defaults' ? siteDefault : own, server)
  }
  for (const section of describeSchema(loggingSchema as FileSchema).values()) {
    assertNamed(section, (key) => section.keys.get(key)?.default, example('logging.ini'))
  }
  const sections = SITES.map((file) => linesOf(example(file)))
  for (const section of site.values()) {
    assert.ok(
      sections.some((lines) => lines.has(section.name)),
      `[${section.name}] is missing`,
    )
    // Each kind of site has a file of its own: together they name all.
    const named = sections.flatMap((lines) => [...(lines.get(section.name) ?? [])])
    // What stands in one of them as its default does.
    named.sort(([key, value], [other, its]) => +(value === siteDefault(key)) - +(its === siteDefault(other)))
    const text = [`[${section.name}]`, ...named.map(([key, value]) => `${key} = ${value}`)].join('\n')
    assertNamed(section, siteDefault, text)
  }
})
