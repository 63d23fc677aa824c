import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findConfig } from '../../src/config/find.ts'
import { configFolder } from './config-folder.ts'

test('--config wins over $VHOSTEL_HOME, that over /etc, that over the working directory', (t) => {
  const folder = configFolder(t, {
    'option/my.ini': '',
    'home/vhostel.ini': '',
    'etc/vhostel.ini': '',
    'cwd/vhostel.ini': '',
  })
  const env = { VHOSTEL_HOME: folder.path('home') }
  const etc = folder.path('etc/vhostel.ini')
  const cwd = folder.path('cwd')

  assert.equal(findConfig('../option/my.ini', env, cwd, etc), folder.path('option/my.ini'))
  assert.equal(findConfig(undefined, env, cwd, etc), folder.path('home/vhostel.ini'))
  assert.equal(findConfig(undefined, {}, cwd, etc), etc)
  assert.equal(findConfig(undefined, { VHOSTEL_HOME: '' }, cwd, folder.path('none')), folder.path('cwd/vhostel.ini'))
})

test('--config can name the folder', (t) => {
  const folder = configFolder(t)

  assert.equal(findConfig('.', {}, folder.dir), folder.path('vhostel.ini'))
})

test('a configuration that was named and is not there is an error, and no other is taken', (t) => {
  const folder = configFolder(t, { 'cwd/vhostel.ini': '' })
  const cwd = folder.path('cwd')

  const notFound = (place: string) => (error: unknown) => {
    assert.ok(error instanceof Error && 'code' in error)
    assert.equal(error.code, 'VHOSTEL_CONFIG_NOT_FOUND')
    assert.ok(error.message.includes(`looked at ${place};`), error.message)
    return true
  }
  assert.throws(() => findConfig('nope.ini', {}, cwd, '/none'), notFound(folder.path('cwd/nope.ini')))
  assert.throws(() => findConfig(undefined, { VHOSTEL_HOME: '/nope' }, cwd, '/none'), notFound('/nope/vhostel.ini'))
  assert.throws(() => findConfig('', {}, cwd, '/none'), notFound('nothing, because --config is empty'))
  assert.throws(() => findConfig(undefined, {}, '/nope', '/none'), notFound('/none, /nope/vhostel.ini'))
  const gone = 'the current folder, which was removed: cd to one that is there'
  assert.throws(() => findConfig(undefined, {}, undefined, '/none'), notFound(`/none, ${gone}`))
  assert.throws(() => findConfig('my.ini', {}, undefined, '/none'), notFound(`my.ini in ${gone}`))
})
