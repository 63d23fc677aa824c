import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBox } from '../helpers/box.ts'
import { makeConfig, staticIni, vhostel } from './command.ts'

const SITES = {
  wide: staticIni('*.example.com'),
  narrow: staticIni('*.a.example.com'),
  users: staticIni('~^(?<user>[a-z]+)\\.a\\.example\\.com$'),
}

test('it names the site, the rule, and why each other rule that matches lost', async (t) => {
  const dir = makeConfig(t, SITES)

  const { code, stdout } = await vhostel(['match', 'http://bob.a.example.com/x', '--config', dir])

  assert.equal(code, 0)
  assert.match(stdout, /^bob\.a\.example\.com: site narrow {2}\(from the files; no server is running\)$/m)
  assert.match(stdout, /^ {2}won +\*\.a\.example\.com +\*\.suffix of site narrow$/m)
  assert.match(stdout, /^ {2}lost +\*\.example\.com +.*wide +\*\.a\.example\.com of site 'narrow' is longer$/m)
  assert.match(
    stdout,
    /^ {2}lost +~\S+ +regular expression of site users +a \*\.suffix goes before a regular expression/m,
  )
})

test('what a regular expression caught is shown', async (t) => {
  const dir = makeConfig(t, { users: SITES.users })

  const { stdout } = await vhostel(['match', 'bob.a.example.com', '--config', dir])

  assert.match(stdout, /^ {2}captured user = bob$/m)
})

test('a host that no site has is exit code 1, and so is one that cannot be', async (t) => {
  const dir = makeConfig(t, SITES)

  const none = await vhostel(['match', 'http://other.test:8080/', '--config', dir])
  const invalid = await vhostel(['match', 'http://a..b/', '--config', dir])

  assert.deepEqual([none.code, invalid.code], [1, 1])
  assert.match(none.stdout, /^other\.test: no site.*\n.*421/)
  assert.match(invalid.stderr, /no valid host; .*400/)
})

test('the user in a URL is passed over, as clients keep it out of Host; in a host alone it is none', async (t) => {
  const dir = makeConfig(t, SITES)

  const url = await vhostel(['match', 'http://user:p@ss@b.example.com:8080/a@c?d@e', '--config', dir])
  const host = await vhostel(['match', 'user@b.example.com', '--config', dir])

  assert.deepEqual([url.code, url.stderr], [0, ''])
  assert.match(url.stdout, /^b\.example\.com: site wide /)
  assert.equal(host.code, 1)
  assert.match(host.stderr, /^user@b\.example\.com: this has no valid host; .*400$/m)
})

test('a URL without a host is told so', async (t) => {
  const dir = makeConfig(t, SITES)

  const empty = await vhostel(['match', '', '--config', dir])
  const path = await vhostel(['match', 'http://user@/x', '--config', dir])

  assert.deepEqual([empty.code, path.code], [1, 1])
  assert.equal(empty.stderr, 'vhostel: no host is named: say a URL or a host, such as a.example.com\n')
  assert.equal(path.stderr, 'http://user@/x: no host is named: say a URL or a host, such as a.example.com\n')
})

test('a running server answers for what it has in force, as JSON too', async (t) => {
  const ini = '[site]\ndomains = *.app.test\nroot = ../sites/app\nmodule = app.mjs\n'
  const files = { 'app.mjs': "export default () => new Response('hello')" }
  const box = await startBox(t, { app: { files, ini } })

  const { code, stdout } = await vhostel(['match', '--json', 'x.app.test', '--config', box.dir])

  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), {
    running: true,
    url: 'x.app.test',
    host: 'x.app.test',
    site: 'app',
    captures: {},
    rules: [{ site: 'app', rule: '*.app.test', kind: 'suffix', outcome: 'won' }],
  })
})
