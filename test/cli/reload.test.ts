import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'
import { makeConfig, vhostel } from './command.ts'

const saying = (text: string): string => `export default () => new Response('${text}')`

test('one site is loaded anew, though nothing watches its code', async (t) => {
  const box = await startBox(t, { app: { files: { 'app.mjs': saying('one') } } })
  await box.ask('app')
  box.write('sites/app/app.mjs', saying('two'))

  const { code, stdout, stderr } = await vhostel(['reload', 'app', '--config', box.dir])

  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'app: live\n', stderr: '' })
  assert.equal((await box.ask('app')).text, 'two')
})

test('settings that wait for a restart are said until it comes, by reload and by status, and once in the log', async (t) => {
  const box = await startBox(t, { app: { files: { 'app.mjs': saying('one') } } })
  box.write('vhostel.ini', '[server]\nlisten = 127.0.0.1:1\n[acme]\nemail = a@example.com\n')

  const reload = await vhostel(['reload', '--config', box.dir])
  const json = await vhostel(['reload', '--json', '--config', box.dir])
  const status = await vhostel(['status', '--config', box.dir])

  const said = 'changed, and takes effect when the server is restarted:\n  [server] listen\n  [acme]\n'
  assert.deepEqual([reload.code, reload.stderr], [0, said])
  assert.deepEqual(JSON.parse(json.stdout).awaitsRestart, ['[server] listen', '[acme]'])
  assert.ok(status.stdout.includes(`\n${said}\nAll is well`), status.stdout)
  assert.equal(status.code, 0)
  assert.equal(box.output.split('takes effect at the next start').length, 3)

  box.write('vhostel.ini', '[server]\nlisten = 127.0.0.1:0\n')
  assert.equal((await vhostel(['reload', '--config', box.dir])).stderr, '')
})

test('all sites are loaded anew, and those that cannot be are told with the reason', async (t) => {
  const box = await startBox(t, {
    app: { files: { 'app.mjs': saying('one') } },
    bad: { files: { 'app.mjs': saying('one') } },
  })
  await Promise.all([box.ask('app'), box.ask('bad')])
  box.write('sites/app/app.mjs', saying('two'))
  box.write('sites/bad/app.mjs', 'export default = 42')

  const { code, stdout, stderr } = await vhostel(['reload', '--config', box.dir])
  const json = await vhostel(['reload', '--json', '--config', box.dir])

  assert.equal(code, 1)
  assert.equal(stdout, 'bad: serving previous version\n2 sites read again: something is wrong with 1 site\n')
  assert.match(stderr, /^ {4}sites\/bad\/app\.mjs:1: /)
  assert.deepEqual([(await box.ask('app')).text, (await box.ask('bad')).text], ['two', 'one'])
  const { sites } = JSON.parse(json.stdout)
  assert.deepEqual(
    sites.map((site: { name: string; state: string }) => [site.name, site.state]),
    [
      ['app', 'live'],
      ['bad', 'previous'],
    ],
  )
})

test('a name that no site has is refused with the one that was meant', async (t) => {
  const box = await startBox(t, { app: { files: { 'app.mjs': saying('one') } } })

  const { code, stderr } = await vhostel(['reload', 'aap', '--config', box.dir])

  assert.equal(code, 1)
  assert.equal(stderr, "vhostel: there is no site 'aap' in the sites folder; did you mean app?\n")
})

test('with no server running that is said in one line, exit code 1', async (t) => {
  const dir = makeConfig(t, {})

  const { code, stdout, stderr } = await vhostel(['reload', '--config', dir])

  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  assert.equal(stderr, `vhostel: no server is running (nobody answers in ${dir}/run); start one with 'vhostel serve'\n`)
})
