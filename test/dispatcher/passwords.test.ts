import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashSync } from '@node-rs/bcrypt'
import { Passwords } from '../../src/dispatcher/passwords.ts'

const USERS = { ann: hashSync('secret', { cost: 4 }), bob: hashSync('pässwörd', { cost: 4, version: '2y' }) }

function attempt(name: string, password: string, address = '192.0.2.1') {
  return { name, password, address }
}

test('right passwords are right and remembered, until the hash is another', async () => {
  const passwords = new Passwords()

  assert.equal(passwords.isKnown(USERS, attempt('ann', 'secret')), false)
  assert.equal(await passwords.check(USERS, attempt('ann', 'secret')), 'right')
  assert.equal(await passwords.check(USERS, attempt('bob', 'pässwörd')), 'right')
  assert.equal(passwords.isKnown(USERS, attempt('ann', 'secret')), true)
  assert.equal(passwords.isKnown(USERS, attempt('ann', 'secret2')), false)
  assert.equal(passwords.isKnown({ ann: USERS.bob }, attempt('ann', 'secret')), false)
  for (const [name, password] of [
    ['ann', ''],
    ['ann', 'Secret'],
    ['eve', 'secret'],
    ['bob', 'secret'],
    ['__proto__', 'secret'],
    ['constructor', 'secret'],
    ['ann', 'secret\0x'],
  ] as const) {
    assert.equal(await passwords.check(USERS, attempt(name, password)), 'wrong', `${name}:${password}`)
  }
})

test('who tries too much at once waits for others, and takes the place of none', async () => {
  const passwords = new Passwords()

  const flood = Array.from({ length: 50 }, (_, at) => passwords.check(USERS, attempt('ann', `guess ${at}`)))
  const other = passwords.check(USERS, attempt('ann', 'secret', '192.0.2.2'))
  const outcomes = await Promise.all(flood)

  assert.equal(outcomes.filter((outcome) => outcome === 'wrong').length, 10)
  assert.equal(outcomes.filter((outcome) => outcome === 'busy').length, 40)
  assert.equal(await other, 'right')
  assert.equal(await passwords.check(USERS, attempt('ann', 'guess')), 'wrong')
})

test('a page whose parts are asked for all at once is one check, and none of them is turned away', async () => {
  const passwords = new Passwords()

  const right = Array.from({ length: 50 }, () => passwords.check(USERS, attempt('ann', 'secret')))
  const wrong = Array.from({ length: 50 }, () => passwords.check(USERS, attempt('ann', 'secret2')))

  assert.deepEqual(new Set(await Promise.all(right)), new Set(['right']))
  assert.deepEqual(new Set(await Promise.all(wrong)), new Set(['wrong']))
})

test('a name that is not known takes as long as one that is', async () => {
  const slow = { ann: hashSync('secret', { cost: 10 }) }
  const passwords = new Passwords()
  const timeOf = async (name: string): Promise<number> => {
    const times: number[] = []
    for (let round = 0; round < 5; round++) {
      const began = performance.now()
      await passwords.check(slow, attempt(name, 'wrong'))
      times.push(performance.now() - began)
    }
    return Math.min(...times)
  }

  const [known, unknown] = [await timeOf('ann'), await timeOf('eve')]

  assert.ok(unknown > known / 3, `${unknown} ms against ${known} ms`)
})
