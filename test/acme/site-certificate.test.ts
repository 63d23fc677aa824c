import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INTERRUPTED, SiteCertificate } from '../../src/acme/site-certificate.ts'

test('while it is asked for, nothing is said of the end that is written down beforehand', () => {
  const site = new SiteCertificate({ site: 'shop', names: ['shop.test'] })
  site.attempts = { failures: 1, lastAt: 1000, notBefore: 0, reasons: [INTERRUPTED], names: ['shop.test'] }
  const reasons = () => site.status(2000, 0, []).reasons

  site.isAsking = true
  assert.deepEqual(reasons(), [])
  site.isAsking = false
  assert.deepEqual(reasons(), [INTERRUPTED])
})
