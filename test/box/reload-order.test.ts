/** Changes of a site that come while another of it is on its way, or could not be put in service: the newest file wins. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

const NAMING = 'export default () => new Response(process.env.NAME)\n'
/** Takes its time with each generation but the first. */
const SLOWLY = "if (process.env.NAME !== 'one') await new Promise((done) => setTimeout(done, 600))\n"
/** Does not load another than the first before it may. */
const GATED = `import { existsSync, writeFileSync } from 'node:fs'
if (process.env.NAME !== 'one') {
  writeFileSync('begun', '')
  while (!existsSync('gate')) await new Promise((done) => setTimeout(done, 10))
}
`

const named = (name: string, more = ''): string =>
  `[site]\ndomains = app.test\nroot = ../sites/app\nmodule = app.mjs\n${more}[env]\nNAME = ${name}\n`
const app = (code: string, more = ''): Record<string, SiteFixture> => ({
  app: { ini: named('one', more), files: { 'app.mjs': code } },
})

async function edit(box: Box, ini: string): Promise<void> {
  box.write('sites-available/app.ini', ini)
  await box.reload('app')
}

test('a reload that comes while an edited INI file is put in service loads that one, not the one before', async (t) => {
  const box = await startBox(t, app(SLOWLY + NAMING))
  assert.equal((await box.ask('app')).text, 'one')

  box.write('sites-available/app.ini', named('two'))
  await Promise.all([box.reload('app'), box.reload('app'), box.reload()])

  assert.equal((await box.ask('app')).text, 'two')
  await box.reload('app')
  assert.equal((await box.ask('app')).text, 'two')
})

test('an INI file that is set back while its edit is being loaded is the one in service at the end', async (t) => {
  const box = await startBox(t, app(GATED + NAMING))
  assert.equal((await box.ask('app')).text, 'one')

  box.write('sites-available/app.ini', named('two'))
  await box.waitFor('the load of the edit', () => existsSync(join(box.dir, 'sites/app/begun')))
  box.write('sites-available/app.ini', named('one'))
  // What was read with or before another site.
  box.addSite('later', { files: { 'app.mjs': NAMING } })
  await box.waitFor('the files to be read', async () => (await box.ask('later')).status === 200)
  box.write('sites/app/gate', '')
  await box.waitFor('the edit to be loaded', async () => ((await box.site('app'))?.generation ?? 0) > 1)
  await box.reload('app')

  assert.equal((await box.ask('app')).text, 'one')
})

test('settings whose code could not be loaded come into force when the code is repaired', async (t) => {
  const box = await startBox(t, app(NAMING, 'watch = yes\n'))
  assert.equal((await box.ask('app')).text, 'one')

  box.write('sites/app/other.mjs', 'export default (\n')
  await edit(box, named('two', 'watch = yes\n').replace('app.mjs', 'other.mjs'))
  assert.equal((await box.site('app'))?.state, 'previous')
  assert.equal((await box.ask('app')).text, 'one')
  box.write('sites/app/other.mjs', NAMING)

  await box.waitFor('the new settings', async () => (await box.ask('app')).text === 'two')
  assert.deepEqual((await box.site('app'))?.problems, [])
})

test('settings whose code cannot be loaded are forgotten with their problem when the file is set back', async (t) => {
  const box = await startBox(t, app(NAMING))
  assert.equal((await box.ask('app')).text, 'one')

  await edit(box, named('two').replace('app.mjs', 'not-there.mjs'))
  const between = await box.site('app')
  box.write('sites/app/broken.mjs', 'export default (\n')
  await edit(box, named('two').replace('app.mjs', 'broken.mjs'))
  const faulty = await box.site('app')
  box.write('sites-available/app.ini', named('one'))
  await box.waitFor('the problem to be gone', async () => (await box.site('app'))?.problems.length === 0)

  assert.equal(between?.state, 'previous')
  assert.match(faulty?.problems[0] ?? '', /broken\.mjs:\d+/)
  assert.equal((await box.site('app'))?.state, 'live')
  assert.equal((await box.ask('app')).text, 'one')
})

/** Two sites, of which the second takes `host.test` from the first with settings for which its code has to be loaded. */
const moving = (): Record<string, SiteFixture> => ({
  giver: { domains: 'giver.test host.test', files: { 'app.mjs': "export default () => new Response('giver')\n" } },
  app: { ini: named('one'), files: { 'app.mjs': GATED + NAMING } },
})

const GIVES_UP = '[site]\ndomains = giver.test\nroot = ../sites/giver\nmodule = app.mjs\n'

async function move(box: Box): Promise<void> {
  assert.equal((await box.ask('host.test')).text, 'giver')
  assert.equal((await box.ask('app')).text, 'one')
  // The taker first: it is refused until the giver's file is read, in whichever order they are.
  box.write('sites-available/app.ini', named('two').replace('app.test', 'app.test host.test'))
  box.write('sites-available/giver.ini', GIVES_UP)
  await box.waitFor('the load of the site that takes it', () => existsSync(join(box.dir, 'sites/app/begun')))
}

test('a host that moves stays with the site that had it until the code of the other is loaded', async (t) => {
  const box = await startBox(t, moving())
  await move(box)
  // Both files were read by then.
  const between = await box.ask('host.test')
  box.addSite('later', { files: { 'app.mjs': NAMING } })
  await box.waitFor('another change to be in force', async () => (await box.ask('later')).status === 200)
  const later = await box.ask('host.test')
  box.write('sites/app/gate', '')
  await box.waitFor('the host to be the other’s', async () => (await box.ask('host.test')).text !== 'giver')

  assert.deepEqual([between.text, later.text], ['giver', 'giver'])
  assert.equal((await box.ask('host.test')).text, 'two')
  assert.equal((await box.ask('giver')).text, 'giver')
})

test('a host that moves to a site whose code cannot be loaded stays where it was', async (t) => {
  const box = await startBox(t, moving())
  assert.equal((await box.ask('host.test')).text, 'giver')
  box.write('sites/app/broken.mjs', 'export default (\n')
  box.write(
    'sites-available/app.ini',
    named('two').replace('app.test', 'app.test host.test').replace('app.mjs', 'broken.mjs'),
  )
  box.write('sites-available/giver.ini', GIVES_UP)
  await box.reload('app')
  const broken = await box.site('app')

  assert.equal(broken?.state, 'previous')
  assert.equal((await box.ask('host.test')).text, 'giver')
  box.write('sites/app/broken.mjs', NAMING)
  await box.reload('app')
  assert.equal((await box.ask('host.test')).text, 'two')
})

test('reloads that are asked for during one are one more together', async (t) => {
  const box = await startBox(t, app(GATED + NAMING))
  assert.equal((await box.ask('app')).text, 'one')
  box.write('sites-available/app.ini', named('two'))
  await box.waitFor('the load of the edit', () => existsSync(join(box.dir, 'sites/app/begun')))

  const before = (await box.site('app'))?.generation ?? 0
  const asked = Array.from({ length: 20 }, () => box.reload('app'))
  await box.status()
  box.write('sites/app/gate', '')
  await Promise.all(asked)

  const after = (await box.site('app'))?.generation ?? 0
  assert.ok(after - before < 10, `${after - before} generations for one edit and 20 reloads`)
  assert.equal((await box.ask('app')).text, 'two')
})
