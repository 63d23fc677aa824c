import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodePath, sameHostPath, splitTarget } from '../../src/dispatcher/file-path.ts'
import { FileRefused } from '../../src/dispatcher/open-inside.ts'

test('a target has a path and a query', () => {
  assert.deepEqual(splitTarget('/a?b=c?d'), { path: '/a', query: '?b=c?d' })
  assert.deepEqual(splitTarget('/a'), { path: '/a', query: '' })
})

test('a path is decoded once, and refused where it is hidden or broken', () => {
  const statusOf = (path: string): number | string => {
    try {
      return decodePath(path)
    } catch (error) {
      return error instanceof FileRefused ? error.status : 'another error'
    }
  }
  const cases: [path: string, wanted: number | string][] = [
    ['', ''],
    ['/a%20b', '/a b'],
    ['/%2561', '/%61'],
    ['/.well-known/x', '/.well-known/x'],
    ['/.well-known/.x', 404],
    ['/a/.git/config', 404],
    ['/a%2f.env', 404],
    ['/..', 404],
    ['*', 404],
    ['/%', 400],
    ['/%00', 400],
    ['/%ff', 400],
  ]

  for (const [path, wanted] of cases) assert.equal(statusOf(path), wanted, path)
})

test('what goes into Location stays on the host', () => {
  assert.equal(sameHostPath('//evil.test/'), '/evil.test/')
  assert.equal(sameHostPath('/\\/evil.test/'), '/evil.test/')
})
