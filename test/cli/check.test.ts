import assert from 'node:assert/strict'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeOldPair } from '../helpers/certificates.ts'
import { makeConfig, staticIni, vhostel } from './command.ts'

test('a configuration without a problem is told in one line, exit code 0', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test'), two: staticIni('two.test') })

  const { code, stdout, stderr } = await vhostel(['check', '--config', dir])

  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  assert.equal(stdout, `${dir}/vhostel.ini: all is well, 2 sites\n`)
})

test('an error page of the server that is missing is a warning, exit code 0', async (t) => {
  const dir = makeConfig(t, { one: staticIni('one.test') }, '[server]\n[errors]\n421 = none.html\n')

  const { code, stdout, stderr } = await vhostel(['check', '--config', dir])

  assert.deepEqual([code, stdout], [0, `${dir}/vhostel.ini: all is well, 1 site\n`])
  assert.equal(
    stderr,
    `warning: vhostel.ini:3: [errors] 421: ${dir}/none.html does not exist: the line counts for nothing\n`,
  )
})

test('every problem of every file is shown at once, in the order of files and lines, exit code 1', async (t) => {
  const server = '[server]\nlisten = nowhere\ndefault_site = tow\n'
  const dir = makeConfig(
    t,
    {
      one: `${staticIni('one.test')}[limits]\ntimeout = 30x\nqueu = 5\n`,
      two: staticIni('one.test, two.test'),
      six: staticIni('one.test'),
    },
    server,
  )

  const { code, stdout, stderr } = await vhostel(['check', '--config', dir])

  const lines = stderr.trim().split('\n')
  assert.equal(code, 1)
  assert.deepEqual(
    lines.map((line) => /^[\w/.-]+:\d+/.exec(line)?.[0]),
    ['vhostel.ini:2', 'vhostel.ini:3', 'sites-enabled/one.ini:6', 'sites-enabled/one.ini:7', 'sites-enabled/two.ini:2'],
    stderr,
  )
  assert.match(lines[2] ?? '', /\[limits\] timeout: "30x" is not a duration/)
  assert.match(lines[3] ?? '', /did you mean queue\?/)
  assert.equal(stdout, `${dir}/vhostel.ini: 5 problems in 3 files; the server would not start\n`)
  writeFileSync(join(dir, 'vhostel.ini'), '[server]\n')
  const again = await vhostel(['check', '--config', dir])
  assert.equal(again.stdout, `${dir}/vhostel.ini: 3 problems in 2 files; 2 of 3 sites would not be served\n`)
})

test('a warning is shown, and nothing is wrong for it', async (t) => {
  const dir = makeConfig(t, { one: `${staticIni('one.test')}` })
  const pair = makeOldPair(['one.test'])
  writeFileSync(join(dir, 'cert.pem'), pair.cert)
  writeFileSync(join(dir, 'key.pem'), pair.key)
  const ini = staticIni('one.test').replace('[site]', `[site]\ncertificate = ${dir}/cert.pem\nkey = ${dir}/key.pem`)
  writeFileSync(join(dir, 'sites-enabled/one.ini'), ini)

  const { code, stdout, stderr } = await vhostel(['check', '--config', dir])
  const json = JSON.parse((await vhostel(['check', '--json', '--config', dir])).stdout)

  assert.equal(code, 0)
  assert.match(stderr, /^warning: sites-enabled\/one\.ini:2: \[site\] certificate: .* ran out on .*: renew it\n$/)
  assert.match(stdout, /all is well, 1 site/)
  assert.deepEqual([json.ok, json.problems, json.warnings.length], [true, [], 1])
})

test('sites that are enabled without .ini, as nginx has them, are a warning, exit code 0', async (t) => {
  const dir = makeConfig(t, {})
  writeFileSync(join(dir, 'hello'), staticIni('hello.test'))
  symlinkSync('../hello', join(dir, 'sites-enabled/hello'))

  const { code, stdout, stderr } = await vhostel(['check', '--config', dir])
  const json = JSON.parse((await vhostel(['check', '--json', '--config', dir])).stdout)

  const told = `"hello" is passed over: the name of a site's file must end in .ini (such as hello.ini)`
  assert.deepEqual([code, stdout], [0, `${dir}/vhostel.ini: all is well, 0 sites\n`])
  assert.equal(stderr, `warning: sites-enabled: ${told}\n`)
  assert.deepEqual([json.ok, json.warnings], [true, [{ file: join(dir, 'sites-enabled'), message: told }]])
})

test('--json has each problem with file, line, section and key', async (t) => {
  const dir = makeConfig(t, { one: `${staticIni('one.test')}[limits]\ntimeout = 30x\n` })

  const { code, stdout, stderr } = await vhostel(['check', '--json', '--config', dir])

  const report = JSON.parse(stdout)
  assert.deepEqual({ code, stderr }, { code: 1, stderr: '' })
  assert.deepEqual({ ok: report.ok, sites: report.sites, refused: report.refused }, { ok: false, sites: 1, refused: 1 })
  const [{ file, line, section, key }] = report.problems
  assert.deepEqual(
    { file, line, section, key },
    { file: `${dir}/sites-enabled/one.ini`, line: 6, section: 'limits', key: 'timeout' },
  )
})

test('a missing sites folder is a problem, not a crash', async (t) => {
  const dir = makeConfig(t, {}, '[server]\nsites = elsewhere\n')

  const { code, stderr } = await vhostel(['check', '--config', dir])

  assert.equal(code, 1)
  assert.match(stderr, /^elsewhere: the sites folder does not exist: make it\n$/)
})
