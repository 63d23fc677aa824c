/**
 * Every ```ini block of README.md and docs/ is loaded as `vhostel check` would: what the manual shows can be copied.
 *
 * Limits: files that a block names are made with what belongs in them; `user` is who runs the test, and `group` is left out,
 * because both depend on who starts the server; a block that shows only some sections of a site gets a [site] before it.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { test } from 'node:test'
import { loadAll } from '../../src/config/load-all.ts'
import { renderProblems } from '../../src/config/problems.ts'
import { makePair } from '../helpers/certificates.ts'
import type { ConfigFolder, Entry } from './config-folder.ts'
import { configFolder } from './config-folder.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const PAGES = ['README.md', ...globSync('docs/*.md', { cwd: REPOSITORY }).sort()]

/** One block: where it begins, and what it says. */
interface Example {
  place: string
  text: string
}

type Kind = 'server' | 'logging' | 'site'

function examplesOf(page: string): Example[] {
  const text = readFileSync(join(REPOSITORY, page), 'utf8')
  return [...text.matchAll(/^( *)```ini\n([\s\S]*?)^ *```$/gm)].map((match) => ({
    place: `${page}:${text.slice(0, match.index).split('\n').length}`,
    text: (match[2] ?? '').replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
  }))
}

/** As the first line says, where it names a file, else told from the sections. */
function kindOf(text: string): Kind {
  const named = /^; .*?\b(vhostel|logging)\.ini/.exec(text)?.[1]
  if (named !== undefined) return named === 'vhostel' ? 'server' : 'logging'
  const sections = [...text.matchAll(/^\[(\w+)/gm)].map((match) => match[1] ?? '')
  if (sections.some((name) => ['server', 'pool', 'acme', 'defaults'].includes(name))) return 'server'
  return sections.some((name) => ['access', 'files'].includes(name)) ? 'logging' : 'site'
}

/** A whole site's file: of one that shows only some sections, the rest is put before it. */
function wholeSite(text: string): string {
  if (/^domains\s*=/m.test(text)) return text
  const isStatic = /^(?:try|not_found) = /m.test(text)
  const files = `root = /srv/whole\n${isStatic ? '' : 'module = server.js\n'}`
  const answers = /^\[proxy\]/m.test(text) ? 'upstream = http://127.0.0.1:8000\n' : files
  const head = `[site]\ndomains = whole.example.com\n${answers}`
  return /^\[site\]$/m.test(text) ? text.replace(/^\[site\]\n/m, head) : `${head}${text}`
}

const settingOf = (text: string, key: string): string | undefined =>
  new RegExp(`^${key}\\s*=\\s*(\\S+)`, 'm').exec(text)?.[1]

/** The files and folders that a site's file names, each with what belongs in it. */
function filesOf(text: string): Record<string, Entry> {
  const pair = makePair(/^domains\s*= (.*)$/m.exec(text)?.[1]?.split(', ') ?? [])
  const contents: Record<string, Entry> = {
    certificate: pair.cert,
    key: pair.key,
    env_file: '',
    tls_ca: pair.cert,
    auth: 'admin:$2y$04$GPNzp4u3NwDc0wPB3rEo1u5RlA/1SnSlg9b8ipivaTq3hwRZh6qfa\n',
  }
  const root = settingOf(text, 'root') ?? '.'
  const files: Record<string, Entry> = {}
  for (const [key, content] of Object.entries(contents)) {
    const path = settingOf(text, key)
    if (path !== undefined) files[path] = content
  }
  const module = settingOf(text, 'module')
  files[module === undefined ? root : join(root, module)] = module === undefined ? 'folder' : ''
  for (const [, folder] of text.matchAll(/^\/\S* = (\S+)/gm)) {
    files[isAbsolute(folder as string) ? (folder as string) : join(root, folder as string)] = 'folder'
  }
  for (const page of pagesOf(text)) files[join(root, page)] = ''
  return files
}

/** What [errors] names. */
function pagesOf(text: string): string[] {
  return [...text.matchAll(/^[45](?:\d\d|xx) = (\S+)/gm)].map(([, page]) => page as string)
}

/** What vhostel.ini has to have for the example to be of use. */
const SERVER = '[server]\nlisten = 80\nlisten_tls = 443\n[acme]\nagree = yes\n[pool single]\n[pool shop]\n'
const OUTSIDE = /(?<=[=\s,])\/(?=(?:srv|etc|var)\/)/g

async function problemsOf({ text }: Example, folder: ConfigFolder): Promise<string> {
  const kind = kindOf(text)
  const inside = text
    .replaceAll(/^user\s*=.*$/gm, `user = ${process.getuid?.()}`)
    .replaceAll(/^group\s*=.*$/gm, '')
    .replaceAll(OUTSIDE, `${folder.dir}/outside/`)
  if (kind === 'server') {
    const caFile = settingOf(inside, 'ca_file')
    folder.put({ 'vhostel.ini': inside })
    for (const page of pagesOf(inside)) folder.put({ [inFolder(folder, page, '.')]: '' })
    if (caFile !== undefined) folder.put({ [inFolder(folder, caFile, '.')]: '-----BEGIN CERTIFICATE-----' })
  } else if (kind === 'logging') folder.put({ 'logging.ini': inside })
  else {
    const site = wholeSite(inside).replaceAll(OUTSIDE, `${folder.dir}/outside/`)
    const files = Object.entries(filesOf(site)).map(([path, entry]) => [
      inFolder(folder, path, 'sites-available'),
      entry,
    ])
    folder.put({ 'vhostel.ini': SERVER, 'sites-available/example.ini': site, ...Object.fromEntries(files) })
    folder.put({ 'sites-enabled/example.ini': { link: '../sites-available/example.ini' } })
  }
  const variables = [...text.matchAll(/\$([A-Z_]+)/g)].map((match) => [match[1], 'x'])
  const { problems, warnings, server } = await loadAll(folder.path('vhostel.ini'), Object.fromEntries(variables))
  return renderProblems([...problems, ...warnings], server.dir)
}

/** A path in an example, seen from the folder of the test. */
function inFolder(folder: ConfigFolder, path: string, from: string): string {
  return resolve(folder.dir, from, path).slice(folder.dir.length + 1)
}

for (const page of PAGES) {
  test(`every INI of ${page} is good`, async (t) => {
    const found: string[] = []
    for (const example of examplesOf(page)) {
      const problems = await problemsOf(example, configFolder(t))
      if (problems !== '') found.push(`${example.place}\n${problems}`)
    }

    assert.equal(found.join('\n\n'), '')
  })
}

test('the pages that show how to configure a site have examples', () => {
  const without = [
    'README.md',
    'docs/migrating.md',
    'docs/proxy.md',
    'docs/static.md',
    'docs/tls.md',
    'docs/acme.md',
  ].filter((page) => examplesOf(page).length === 0)

  assert.deepEqual(without, [])
})
