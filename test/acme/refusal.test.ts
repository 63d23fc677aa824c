import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { outcomeOf } from '../../src/acme/failure.ts'
import { Refusal, reasonsOf, refusalOf, retryAfterMs } from '../../src/acme/refusal.ts'

const URN = 'urn:ietf:params:acme:error:'
const NOW = Date.UTC(2027, 0, 1)

test("the server's own words are kept, for each name", () => {
  const problem = {
    type: `${URN}malformed`,
    detail: 'Some of the identifiers requested were rejected',
    subproblems: [
      { type: `${URN}malformed`, detail: 'Invalid underscore', identifier: { type: 'dns', value: '_example.org' } },
      { type: `${URN}rejectedIdentifier`, detail: 'No', identifier: { type: 'dns', value: 'example.net' } },
    ],
  }

  assert.deepEqual(reasonsOf(problem), [
    'Some of the identifiers requested were rejected (malformed)',
    '_example.org: Invalid underscore (malformed)',
    'example.net: No (rejectedIdentifier)',
  ])
  assert.deepEqual(reasonsOf({ type: `${URN}dns`, detail: 'NXDOMAIN' }, 'a.test'), ['a.test: NXDOMAIN (dns)'])
})

test('control characters of a server do not reach a terminal, and long words are cut', () => {
  const [reason = ''] = reasonsOf({ type: `${URN}dns\u001b[2J`, detail: `\u001b[31m\r\nred ${'x'.repeat(10_000)}` })

  assert.ok(!/\p{Cc}/u.test(reason), JSON.stringify(reason))
  assert.ok(reason.length < 450)
})

test('whatever a server sends as an error becomes a refusal with words', () => {
  fc.assert(
    fc.property(fc.integer({ min: 300, max: 599 }), fc.anything(), (status, body) => {
      const refusal = refusalOf(status, body, 0)

      assert.ok(refusal.reasons.length >= 1 && refusal.reasons.length <= 100)
      assert.ok(refusal.reasons.every((reason) => reason !== '' && !/\p{Cc}/u.test(reason)))
    }),
  )
})

test('Retry-After is read as seconds or as a date', () => {
  assert.equal(retryAfterMs('120', NOW), 120_000)
  assert.equal(retryAfterMs(new Date(NOW + 5000).toUTCString(), NOW), 5000)
  assert.equal(retryAfterMs(new Date(NOW - 5000).toUTCString(), NOW), 0)
  for (const bad of [undefined, '', '-5', '1e9', 'soon', ['1']]) assert.equal(retryAfterMs(bad, NOW), 0)
})

const directory = 'https://ca.test/dir'
const refused = (status: number, type: string) => new Refusal(status, type, ['words'], 5000)

test('a name that is refused is about the order, an account that is refused is about all', () => {
  const kinds = [
    refused(0, ''), // a challenge that failed
    refused(0, 'unauthorized'),
    refused(400, 'rejectedIdentifier'),
    refused(403, 'orderNotReady'),
    refused(403, 'unauthorized'),
    refused(400, 'userActionRequired'),
    refused(400, 'account'),
    refused(500, 'serverInternal'),
    refused(503, ''),
    refused(404, ''),
    refused(302, ''),
  ].map((error) => outcomeOf(error, directory).kind)

  assert.deepEqual(kinds, [...Array(4).fill('refused'), ...Array(7).fill('unavailable')])
})

test('being asked too often is told apart, with when to come back', () => {
  const limited = { kind: 'refused', reasons: ['words'], isRateLimit: true, retryAfterMs: 5000 }

  assert.deepEqual(outcomeOf(refused(429, 'rateLimited'), directory), limited)
  assert.deepEqual(outcomeOf(refused(429, ''), directory), limited)
  assert.deepEqual(outcomeOf(refused(503, 'rateLimited'), directory), limited)
})

test('a server that is gone is told with its address and the code of the error', () => {
  const gone = Object.assign(new Error(''), { code: 'ECONNREFUSED' })
  const untrusted = Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })

  assert.deepEqual(outcomeOf(gone, directory).reasons, [`${directory}: ECONNREFUSED`])
  assert.deepEqual(outcomeOf(untrusted, directory).reasons, [
    `${directory}: self-signed certificate (DEPTH_ZERO_SELF_SIGNED_CERT)`,
  ])
  assert.equal(outcomeOf(undefined, directory).kind, 'unavailable')
})
