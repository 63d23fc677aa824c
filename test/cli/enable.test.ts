import assert from 'node:assert/strict'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'
import { makeConfig, SERVER_INI, staticIni, vhostel } from './command.ts'

const APP = "export default () => new Response('hello')"
const INI = '[site]\ndomains = app.test\nroot = ../sites/app\nmodule = app.mjs\n'

/** A running server with a site in sites-available that is not enabled. */
async function startWithApp(t: Parameters<typeof startBox>[0], ini = INI, app = APP): Promise<Box> {
  const box = await startBox(t, {})
  box.write('sites/app/app.mjs', app)
  box.write('sites-available/app.ini', ini)
  return box
}

const linkOf = (dir: string): string => join(dir, 'sites-enabled/app.ini')

test('enable makes a relative link, and the site is live when it returns', async (t) => {
  const box = await startWithApp(t)

  const { code, stdout, stderr } = await vhostel(['enable', 'app', '--config', box.dir])
  const reply = await box.ask('app')

  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.equal(stdout, `app: live\n  http://app.test:${box.port}/\n`)
  assert.equal(readlinkSync(linkOf(box.dir)), '../sites-available/app.ini')
  assert.equal(reply.text, 'hello')
})

test('disable removes the link, and the site is gone when it returns; its file stays', async (t) => {
  const box = await startWithApp(t)
  await vhostel(['enable', 'app', '--config', box.dir])

  const { code, stdout, stderr } = await vhostel(['disable', 'app', '--config', box.dir])
  const reply = await box.ask('app')

  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.match(stdout, /^app is disabled/)
  assert.equal(reply.status, 421)
  assert.ok(existsSync(join(box.dir, 'sites-available/app.ini')))
})

test('a path to another file of that name neither enables nor disables the site', async (t) => {
  const dir = makeConfig(t, {}, SERVER_INI)
  mkdirSync(join(dir, 'sites-available'), { recursive: true })
  writeFileSync(join(dir, 'sites-available/app.ini'), staticIni('app.test'))
  writeFileSync(join(dir, 'app.ini'), staticIni('other.test'))

  const other = await vhostel(['enable', join(dir, 'app.ini'), '--config', dir])
  const nowhere = await vhostel(['enable', '/nowhere/app', '--config', dir])
  const own = await vhostel(['enable', join(dir, 'sites-available/app.ini'), '--config', dir])
  const kept = await vhostel(['disable', join(dir, 'app.ini'), '--config', dir])
  const gone = await vhostel(['disable', join(dir, 'sites-enabled/app.ini'), '--config', dir])
  const nobody = await vhostel(['enable', '', '--config', dir])

  assert.deepEqual([other.code, nowhere.code, own.code, kept.code, gone.code, nobody.code], [1, 1, 0, 1, 0, 1])
  const cure = 'move it there, or link to it there, to enable it'
  assert.equal(other.stderr, `vhostel: ${dir}/app.ini is not sites-available/app.ini: ${cure}\n`)
  assert.equal(nowhere.stderr, `vhostel: /nowhere/app is not sites-available/app.ini: ${cure}\n`)
  assert.match(kept.stderr, /app\.ini is no file of the site app: say its name alone \(vhostel disable app\)$/m)
  assert.equal(nobody.stderr, 'vhostel: the name of the site is empty\n')
})

test('a site whose file or code is wrong is told with the place, and its link stays', async (t) => {
  const box = await startWithApp(t, `${INI}[limits]\ntimeout = 30x\n`, 'throw new Error("not today")')

  const file = await vhostel(['enable', 'app', '--config', box.dir])
  box.write('sites-available/app.ini', INI)
  const code = await vhostel(['enable', 'app', '--config', box.dir])

  assert.deepEqual([file.code, code.code], [1, 1])
  assert.match(file.stdout, /^app: refused$/m)
  assert.match(file.stderr, /^ {4}sites-enabled\/app\.ini:6: \[limits\] timeout: "30x"/m)
  assert.match(code.stdout, /^app is enabled already\napp: failed$/m)
  assert.match(code.stderr, /^ {4}sites\/app\/app\.mjs:1: .*not today/m)
  assert.ok(lstatSync(linkOf(box.dir)).isSymbolicLink())
})

test('while a module loads for long, that is said on standard error, and what came of it at the end', async (t) => {
  const box = await startWithApp(t, `${INI}[limits]\nstart_timeout = 3s\n`, 'export const nothing = 1')

  const enable = await vhostel(['enable', 'app', '--json', '--config', box.dir])
  const reload = await vhostel(['reload', 'app', '--config', box.dir])

  const wait = "app: waiting for its module to load; [limits] start_timeout is 3s. 'vhostel status app' shows more\n"
  const end = /did not call listen\(\) within 3000 ms \(\[limits\] start_timeout\), and it exports no handler/
  assert.deepEqual([enable.code, enable.stderr], [1, wait])
  assert.match(JSON.parse(enable.stdout).site.problems[0], end)
  assert.equal(reload.code, 1)
  assert.ok(reload.stderr.startsWith(wait), reload.stderr)
  assert.match(reload.stderr, end)
})

test('with no server running that is said in one line, and the files are checked all the same', async (t) => {
  const dir = makeConfig(t, {})
  writeFileSync(join(makeFolders(dir), 'app.ini'), staticIni('app.test'))
  writeFileSync(join(dir, 'sites-available/bad.ini'), '[site]\ndomain = bad.test\n')

  const good = await vhostel(['enable', 'app', '--config', dir])
  const bad = await vhostel(['enable', 'bad', '--config', dir])
  const gone = await vhostel(['disable', 'app', '--config', dir])

  assert.deepEqual([good.code, bad.code, gone.code], [0, 1, 0])
  assert.equal(good.stdout, "No server is running. The next 'vhostel serve' will serve app.\n  http://app.test:8080/\n")
  assert.match(bad.stderr, /bad\.ini:2: \[site\] domain: the key is not known; did you mean domains\?/)
  assert.match(gone.stdout, /^No server is running. The next 'vhostel serve' will not serve app/)
})

test('what is enabled already stays as it is, by whatever name it is asked for', async (t) => {
  const dir = makeConfig(t, { app: staticIni('app.test') })

  const outcomes = []
  for (const name of ['app', 'app.ini', 'sites-available/app.ini']) {
    outcomes.push(await vhostel(['enable', name, '--config', dir]))
  }

  for (const { code, stdout } of outcomes) {
    assert.equal(code, 0)
    assert.match(stdout, /^app is enabled already\n/)
  }
})

test('--json has the site as it is served, whether the link was made, and nothing else', async (t) => {
  const box = await startWithApp(t)

  const enable = await vhostel(['enable', 'app', '--json', '--config', box.dir])
  const again = await vhostel(['enable', 'app', '--json', '--config', box.dir])
  const disable = await vhostel(['disable', 'app', '--json', '--config', box.dir])
  const gone = await vhostel(['disable', 'app', '--json', '--config', box.dir])

  for (const { code, stderr } of [enable, again, disable, gone]) assert.deepEqual([code, stderr], [0, ''])
  const { changed, running, site } = JSON.parse(enable.stdout)
  assert.deepEqual([changed, running, site.name, site.state], [true, true, 'app', 'live'])
  assert.deepEqual(site.urls, [`http://app.test:${box.port}/`])
  assert.equal(JSON.parse(again.stdout).changed, false)
  const common = { site: 'app', running: true, served: false, problems: [] }
  assert.deepEqual(JSON.parse(disable.stdout), { ...common, changed: true })
  assert.deepEqual(JSON.parse(gone.stdout), { ...common, changed: false })
})

test('--json has what is wrong with the site, exit code 1; what cannot be done is told on standard error', async (t) => {
  const dir = makeConfig(t, {})
  writeFileSync(join(makeFolders(dir), 'bad.ini'), '[site]\ndomain = bad.test\n')

  const bad = await vhostel(['enable', 'bad', '--json', '--config', dir])
  const none = await vhostel(['enable', 'nothing', '--json', '--config', dir])
  const gone = await vhostel(['disable', 'bad', '--json', '--config', dir])

  const { running, site } = JSON.parse(bad.stdout)
  assert.deepEqual([bad.code, bad.stderr, running, site.state], [1, '', false, 'refused'])
  assert.match(site.problems.at(-1), /^sites-enabled\/bad\.ini:2: \[site\] domain: /)
  assert.deepEqual([none.code, none.stdout], [1, ''])
  assert.match(none.stderr, /^vhostel: there is no sites-available\/nothing\.ini/)
  const left = { site: 'bad', changed: true, running: false, served: false, problems: [] }
  assert.deepEqual([gone.code, JSON.parse(gone.stdout)], [0, left])
})

test('a name that is not there is refused with the one that was meant', async (t) => {
  const dir = makeConfig(t, { app: staticIni('app.test') })

  const enable = await vhostel(['enable', 'aap', '--config', dir])
  const disable = await vhostel(['disable', 'aap', '--config', dir])
  const other = await vhostel(['enable', 'something-else', '--config', dir])

  assert.deepEqual([enable.code, disable.code, other.code], [1, 1, 1])
  assert.equal(enable.stderr, 'vhostel: there is no sites-available/aap.ini; did you mean app?\n')
  assert.equal(disable.stderr, 'vhostel: no site aap is enabled; did you mean app?\n')
  assert.equal(other.stderr, 'vhostel: there is no sites-available/something-else.ini; there are app\n')
})

test('a file without .ini, as nginx and Apache have them, is refused with the name that it has to have', async (t) => {
  const dir = makeConfig(t, { app: staticIni('app.test') })
  writeFileSync(join(dir, 'sites-available/hello'), staticIni('hello.test'))
  writeFileSync(join(dir, 'sites-available/shop.conf'), staticIni('shop.test'))

  const told = ['hello', 'shop', 'shop.conf'].map(async (name) => {
    const { code, stderr } = await vhostel(['enable', name, '--config', dir])
    return [code, stderr]
  })

  assert.deepEqual(await Promise.all(told), [
    [1, 'vhostel: there is no sites-available/hello.ini; rename hello there to hello.ini\n'],
    [1, 'vhostel: there is no sites-available/shop.ini; rename shop.conf there to shop.ini\n'],
    [1, 'vhostel: there is no sites-available/shop.conf.ini; rename shop.conf there to shop.ini\n'],
  ])
  assert.deepEqual(readdirSync(join(dir, 'sites-enabled')), ['app.ini'])
})

test('a file, or a link to something else, is never touched', async (t) => {
  const dir = makeConfig(t, { app: staticIni('app.test'), other: staticIni('other.test') })
  unlinkSync(linkOf(dir))
  symlinkSync('../sites-available/other.ini', linkOf(dir))
  const link = await vhostel(['enable', 'app', '--config', dir])
  unlinkSync(linkOf(dir))
  writeFileSync(linkOf(dir), staticIni('mine.test'))

  const enable = await vhostel(['enable', 'app', '--config', dir])
  const disable = await vhostel(['disable', 'app', '--config', dir])

  assert.deepEqual([link.code, enable.code, disable.code], [1, 1, 1])
  assert.match(link.stderr, /is a link to \.\.\/sites-available\/other\.ini, which is another file/)
  assert.match(enable.stderr, /sites-enabled\/app\.ini is a file of its own, not a link/)
  assert.match(disable.stderr, /would be lost/)
  assert.ok(lstatSync(linkOf(dir)).isFile())
})

test('disabling what is not enabled is no failure', async (t) => {
  const dir = makeConfig(t, { app: staticIni('app.test') })
  unlinkSync(linkOf(dir))

  const { code, stdout } = await vhostel(['disable', 'app', '--config', dir])

  assert.deepEqual({ code, stdout }, { code: 0, stdout: 'app is not enabled\n' })
})

test('a sites folder that is not there yet is made, and one elsewhere gets a link that leads back', async (t) => {
  const server = `${SERVER_INI}sites = live/enabled\n`
  const dir = makeFolder(t, {
    'vhostel.ini': server,
    'public/index.html': 'hello',
    'live/sites-available/app.ini': '[site]\ndomains = app.test\nkind = static\nroot = ../../public\n',
  })

  const { code, stderr } = await vhostel(['enable', 'app', '--config', dir])

  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.equal(readlinkSync(join(dir, 'live/enabled/app.ini')), '../sites-available/app.ini')
})

function makeFolders(dir: string): string {
  const folder = join(dir, 'sites-available')
  mkdirSync(folder, { recursive: true })
  return folder
}
