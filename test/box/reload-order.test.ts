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
