import assert from 'node:assert/strict'
import { test } from 'node:test'
import { descriptorsForClients, failureText, mostDescriptors, readLimit } from '../../src/core/descriptors.ts'

test('an eighth is kept from clients, 32 at least and 1,024 at most', () => {
  assert.deepEqual([128, 256, 1024, 524_288].map(descriptorsForClients), [96, 224, 896, 523_264])
  assert.equal(descriptorsForClients(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY)
})

test('the limit is the one of the kernel', () => {
  assert.equal(readLimit('Max open files            1024                 4096                 files\n'), 1024)
  assert.equal(readLimit('Max open files            unlimited            unlimited            files\n'), Infinity)
  assert.ok(mostDescriptors() > 16)
})

test('who reads that descriptors have run out reads the cure', () => {
  const error = Object.assign(new Error('spawn x EMFILE'), { code: 'EMFILE' })

  assert.match(failureText(error), /^spawn x EMFILE: no file descriptor is left; raise LimitNOFILE/)
  assert.equal(failureText(new Error('other')), 'other')
})
