import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INTERRUPTED, SiteCertificate } from '../../src/acme/site-certificate.ts'

test('while it is asked for, neither the end nor the failure is told that is written down beforehand', () => {
  const site = new SiteCertificate({ site: 'shop', names: ['shop.test'] })
  site.attempts = { failures: 1, lastAt: 1000, notBefore: 0, reasons: [INTERRUPTED], names: ['shop.test'] }
  const told = () => {
    const { failures, reasons } = site.status(2000, 0, [])
    return [failures, reasons]
  }

  site.isAsking = true
  assert.deepEqual(told(), [0, []])
  site.isAsking = false
  assert.deepEqual(told(), [1, [INTERRUPTED]])
})
