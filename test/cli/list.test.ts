import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'
import { makeConfig, staticIni, vhostel } from './command.ts'

const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }

test('with no server running the sites are listed from the files', async (t) => {
  const dir = makeConfig(t, { good: staticIni('good.test, *.good.test'), bad: '[site]\n' })

  const { code, stdout } = await vhostel(['list', '--config', dir])

  assert.equal(code, 0)
  const lines = stdout.split('\n')
  assert.match(lines[0] ?? '', /^SITE +KIND +URL +STATE$/)
  assert.match(lines[1] ?? '', /^bad +- +- +refused$/)
  assert.match(lines[2] ?? '', /^ {4}sites-enabled\/bad\.ini:1: \[site\] domains: is missing/)
  const good = lines.findIndex((line) => line.startsWith('good'))
  assert.match(lines[good] ?? '', /^good +static +http:\/\/good\.test:8080\/ +not running$/)
  assert.match(lines[good + 1] ?? '', /^ +\*\.good\.test$/)
  assert.match(stdout, /2 sites in .*\/sites-enabled; no server is running\n$/)
})

test('--json without a server has the same in another form', async (t) => {
  const dir = makeConfig(t, { good: staticIni('good.test') }, '[server]\ndefault_site = none\n')

  const { code, stdout } = await vhostel(['list', '--json', '--config', dir])

  const { running, sites, problems } = JSON.parse(stdout)
  assert.equal(code, 0)
  assert.equal(running, false)
  assert.deepEqual(sites, [
    {
      name: 'good',
      kind: 'static',
      file: `${dir}/sites-enabled/good.ini`,
      domains: ['good.test'],
      urls: ['http://good.test:8080/'],
      state: 'not running',
      problems: [],
    },
  ])
  assert.match(problems[0], /^vhostel\.ini:2: \[server\] default_site: there is no site "none"/)
})

test('a port that is open for IPv4 and IPv6 makes one link', async (t) => {
  const dir = makeConfig(t, { good: staticIni('good.test') }, '[server]\nlisten = 127.0.0.1:8080, [::1]:8080, 9090\n')

  const { stdout } = await vhostel(['list', '--json', '--config', dir])

  assert.deepEqual(JSON.parse(stdout).sites[0].urls, ['http://good.test:8080/', 'http://good.test:9090/'])
})

test('a running server says where each site stands', async (t) => {
  const box = await startBox(t, { calm: HELLO, broken: { files: { 'app.mjs': "throw new Error('no')" } } })
  await Promise.all([box.ask('calm'), box.ask('broken')])

  const table = await vhostel(['list', '--config', box.dir])
  const json = await vhostel(['list', '--json', '--config', box.dir])

  assert.equal(table.code, 0)
  assert.match(table.stdout, new RegExp(`^calm +module +http://calm\\.test:${box.port}/ +1 +1 +live$`, 'm'))
  assert.match(table.stdout, /^broken +module +\S+ +\d+ +\d+ +failed\n {4}sites\/broken\/app\.mjs.*: /m)
  const report = JSON.parse(json.stdout)
  assert.deepEqual({ running: report.running, pid: report.pid }, { running: true, pid: box.pid })
  assert.equal(report.sites.length, 2)
})

test('no site at all is said in words', async (t) => {
  const dir = makeConfig(t, {})

  const { stdout } = await vhostel(['list', '--config', dir])

  assert.match(stdout, /^No site is enabled\.\n/)
})
