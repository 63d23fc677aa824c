/**
 * What a person can write wrongly in INI files: each mistake is told with its place and its cure, and disturbs no
 * other site.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { makeBox } from '../helpers/box.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const SITE = '[site]\ndomains = NAME.test\nroot = ../sites/good\nmodule = app.mjs\n'

interface Row {
  name: string
  what: string
  text: string | Uint8Array
  /** What the problem must say; undefined where the file is fine. */
  says: RegExp | undefined
}

const rows: Row[] = [
  { name: 'empty', what: 'an empty file', text: '', says: /empty\.ini.*empty/ },
  {
    name: 'huge',
    what: 'a file of 10 MB',
    text: `${SITE}${'; x\n'.repeat(2_600_000)}`,
    says: /huge\.ini.*(MB|bytes|large)/,
  },
  { name: 'nul', what: 'a file with NUL bytes', text: `${SITE}\0\0\n`, says: /nul\.ini(:5)?.*NUL/ },
  {
    name: 'binary',
    what: 'a binary file',
    text: Buffer.from(Array.from({ length: 999 }, (_, at) => at % 256)),
    says: /binary\.ini/,
  },
  { name: 'bom', what: 'a file with a BOM', text: `\u{feff}${SITE}`, says: undefined },
  { name: 'crlf', what: 'a file with CRLF', text: SITE.replaceAll('\n', '\r\n'), says: undefined },
  {
    name: 'twice',
    what: 'a section twice',
    text: `${SITE}[site]\nwatch = no\n`,
    says: /twice\.ini:5: .*(already|twice)/,
  },
  {
    name: 'again',
    what: 'a key twice',
    text: `${SITE}module = other.mjs\n`,
    says: /again\.ini:5: .*module.*(already|twice|line 4)/,
  },
  { name: 'proto', what: '__proto__ as a key', text: `${SITE}__proto__ = x\n`, says: /proto\.ini:5: .*__proto__/ },
  {
    name: 'protosec',
    what: '__proto__ as a section',
    text: `${SITE}[__proto__]\na = b\n`,
    says: /protosec\.ini:5: .*__proto__/,
  },
  {
    name: 'typo',
    what: 'a misspelt key',
    text: `${SITE}modul = x\n`,
    says: /typo\.ini:5: .*modul.*did you mean.*module/i,
  },
  {
    name: 'section',
    what: 'a misspelt section',
    text: `${SITE}[limit]\n`,
    says: /section\.ini:5: .*limit.*did you mean.*limits/i,
  },
  {
    name: 'duration',
    what: 'a bad duration',
    text: `${SITE}[limits]\ntimeout = 30x\n`,
    says: /^sites-enabled\/duration\.ini:6: \[limits\] timeout: "30x" is not a duration \(such as 500ms, 30s, 5m\)$/m,
  },
  {
    name: 'missing',
    what: 'a missing module',
    text: SITE.replace('app.mjs', 'nothing.mjs'),
    says: /missing\.ini:4: .*nothing\.mjs/,
  },
  {
    name: 'noroot',
    what: 'a missing root',
    text: SITE.replace('sites/good', 'sites/nothing'),
    says: /noroot\.ini:3: .*nothing/,
  },
  {
    name: 'domain',
    what: 'a bad domain',
    text: SITE.replace('NAME.test', 'not a/domain'),
    says: /domain\.ini:2: .*domain/,
  },
  {
    name: 'taken',
    what: 'a domain that another site has',
    text: SITE.replace('NAME.test', 'good.test'),
    says: /taken\.ini:2: .*good\.test.*sites-enabled\/good\.ini/,
  },
  { name: 'equals', what: 'a line without "="', text: `${SITE}nonsense\n`, says: /equals\.ini:5: / },
]

test('every bad file is refused alone, with file, line and cure, and every other site serves', async (t) => {
  const box = makeBox(t, { good: { files: { 'app.mjs': "export default () => new Response('good')" } } })
  for (const { name, text } of rows) {
    box.write(`sites-enabled/${name}.ini`, typeof text === 'string' ? text.replace('NAME', name) : text)
  }
  symlinkSync('../sites-available/nothing.ini', join(box.dir, 'sites-enabled/dangling.ini'))
  symlinkSync('loop.ini', join(box.dir, 'sites-enabled/loop.ini'))
  mkdirSync(join(box.dir, 'sites-enabled/folder.ini'))
  for (const passedOver of ['good.ini~', '.good.ini.swp', 'good.ini.save', '.hidden.ini', 'notes.txt']) {
    box.write(`sites-enabled/${passedOver}`, 'rubbish')
  }
  await box.start()

  const { sites } = await box.status()
  const reply = await box.ask('good')

  assert.equal(reply.text, 'good')
  for (const { name, what, says } of rows) {
    const site = sites.find((one) => one.name === name)
    const problems = site?.problems.join('\n') ?? ''
    if (says === undefined) {
      assert.deepEqual([site?.state, problems], ['idle', ''], what)
      assert.equal((await box.ask(name)).text, 'good', what)
    } else {
      assert.equal(site?.state, 'refused', `${what}: ${problems}`)
      assert.match(problems, says, what)
      assert.equal((await box.ask(`${name}.test`)).status, 421, what)
    }
  }
  for (const name of ['dangling', 'loop', 'folder']) {
    const site = sites.find((one) => one.name === name)
    assert.equal(site?.state, 'refused', name)
    assert.match(site?.problems[0] ?? '', new RegExp(`^sites-enabled/${name}\\.ini: `), name)
  }
  const names = sites.map((site) => site.name).sort()
  assert.deepEqual(names, ['good', 'dangling', 'loop', 'folder', ...rows.map((row) => row.name)].sort())
})

test('a file that may not be read is refused alone', (t) => {
  const box = makeBox(t, { good: { files: { 'app.mjs': "export default () => new Response('good')" } } })
  const locked = join(box.dir, 'sites-enabled/locked.ini')
  box.write('sites-enabled/locked.ini', SITE)
  chmodSync(locked, 0)
  // root may read everything: as root the command runs as somebody else.
  chmodSync(box.dir, 0o755)
  const somebody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

  const command = [join(REPOSITORY, 'bin/vhostel.js'), 'check', '--config', box.dir]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8', ...somebody })

  assert.equal(status, 1, stderr)
  assert.match(stdout + stderr, /sites-enabled\/locked\.ini: .*(permission|may not|EACCES)/)
  assert.doesNotMatch(stdout + stderr, /good\.ini/)
})

test('of two running sites the one that has a domain keeps it; once it is given up the other gets it', async (t) => {
  const files = { 'app.mjs': 'export default () => new Response(process.env.NAME)' }
  const site = (name: string) => ({ files, domains: `${name}.test`, more: `[env]\nNAME = ${name}` })
  const box = makeBox(t, { aaa: site('aaa'), zzz: site('zzz') })
  await box.start()
  await box.ask('zzz')

  // By file name aaa would be first, but zzz has the domain.
  const claim = '[site]\ndomains = aaa.test, zzz.test\nroot = ../sites/aaa\nmodule = app.mjs\n[env]\nNAME = aaa\n'
  box.write('sites-available/aaa.ini', claim)
  await box.waitFor('the claim to be refused', async () => (await box.site('aaa'))?.state === 'previous')
  const kept = await box.ask('zzz')
  const problem = (await box.site('aaa'))?.problems[0]
  box.write(
    'sites-available/zzz.ini',
    '[site]\ndomains = other.test\nroot = ../sites/zzz\nmodule = app.mjs\n[env]\nNAME = zzz\n',
  )
  await box.waitFor('the domain to change hands', async () => (await box.ask('zzz')).text === 'aaa')

  assert.equal(kept.text, 'zzz')
  assert.match(problem ?? '', /^sites-enabled\/aaa\.ini:2: .*zzz\.test.*sites-enabled\/zzz\.ini/)
  assert.equal((await box.ask('other.test')).text, 'zzz')
})
