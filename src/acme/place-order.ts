/**
 * One order, from its names to the certificate (RFC 8555 §7.4). Knows nothing of sites, files or times to come.
 *
 * Limits: the server has `DECISION_MS` to decide over all names, and as long to issue; it is asked every 0.25 s at first and
 * every 5 s at last, or as it wishes.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { Order as AcmeOrder, Authorization, Client } from 'acme-client'
import acme from 'acme-client'
import type { KeyPair } from '../core/key-pair.ts'
import { waitMs } from './authority.ts'
import type { Challenge, Order } from './orderer.ts'
import { Refusal, reasonsOf } from './refusal.ts'
import type { ChallengeType } from './schedule.ts'

const DECISION_MS = 120_000
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 5000
/** Longest that the server's wish is obeyed while an order is under way. */
const LONGEST_WISH_MS = 30_000

/** Puts all challenges of an order in place; they can be answered once it resolves. */
export type Prepare = (challenges: Challenge[]) => Promise<void>

/**
 * Gets a certificate.
 *
 * @throws Refusal where the server does not want to; what the network says where it is gone
 */
export async function placeOrder(client: Client, { names, challenge }: Order, prepare: Prepare): Promise<KeyPair> {
  const identifiers = names.map((value) => ({ type: 'dns', value }))
  const order = await client.createOrder({ identifiers })
  const authorizations = await client.getAuthorizations(order)
  const open = authorizations.filter(({ status }) => status !== 'valid')
  if (open.length > 0) await proveNames(client, order, open, challenge, prepare)
  return finish(client, await settled(client, order, ['pending']), names)
}

async function proveNames(
  client: Client,
  order: AcmeOrder,
  open: Authorization[],
  type: ChallengeType,
  prepare: Prepare,
): Promise<void> {
  const chosen = open.map((authorization) => ({ authorization, asked: choose(authorization, type) }))
  await prepare(await Promise.all(chosen.map(({ authorization, asked }) => answerTo(client, authorization, asked))))
  for (const { asked } of chosen) await client.completeChallenge(asked)
  const pending = { ...order, authorizations: open.map(({ url }) => url) }
  const decided = await waitUntil(async () => {
    const all = await client.getAuthorizations(pending)
    return { value: all, isDone: all.every(({ status }) => status !== 'pending'), wishMs: wishOf(all) }
  }, 'the server did not decide over the names in time')
  const reasons = decided.flatMap(refusedFor)
  if (reasons.length > 0) throw new Refusal(0, typeOfRefusal(decided), reasons)
}

function choose({ identifier, challenges }: Authorization, type: ChallengeType): Authorization['challenges'][number] {
  const asked = challenges.find((one) => one.type === type)
  if (asked !== undefined) return asked
  const offered = challenges.map((one) => one.type).join(', ')
  throw new Refusal(0, '', [`${identifier.value}: the server does not offer ${type} (only ${offered})`])
}

async function answerTo(
  client: Client,
  authorization: Authorization,
  asked: Authorization['challenges'][number],
): Promise<Challenge> {
  const name = authorization.identifier.value
  const keyAuthorization = await client.getChallengeKeyAuthorization(asked)
  if (asked.type === 'http-01') return { type: 'http-01', name, token: asked.token, keyAuthorization }
  const ownKey = await acme.crypto.createPrivateEcdsaKey('P-256')
  const [key, cert] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization, ownKey)
  return { type: 'tls-alpn-01', name, pair: { cert: String(cert), key: String(key) } }
}

/** Why a name was refused, in the server's words. */
function refusedFor({ identifier, status, challenges }: Authorization): string[] {
  if (status === 'valid') return []
  const said = challenges.flatMap((one) => ('error' in one ? reasonsOf(one.error, identifier.value) : []))
  return said.length > 0 ? said : [`${identifier.value}: its authorization is ${status}`]
}

function typeOfRefusal(authorizations: Authorization[]): string {
  const limited = authorizations.some(({ challenges }) =>
    challenges.some((one) => 'error' in one && JSON.stringify(one.error).includes(':rateLimited')),
  )
  return limited ? 'rateLimited' : ''
}

function wishOf(items: object[]): number {
  return Math.max(0, ...items.map(waitMs))
}

/** Asks for the certificate of an order whose names are proved. */
async function finish(client: Client, order: AcmeOrder, names: readonly string[]): Promise<KeyPair> {
  const ownKey = await acme.crypto.createPrivateEcdsaKey('P-256')
  const [key, csr] = await acme.crypto.createCsr({ altNames: [...names] }, ownKey)
  const finalized = await client.finalizeOrder(order, csr)
  const issued = await settled(client, finalized, ['pending', 'ready', 'processing'])
  return { cert: await client.getCertificate(issued), key: String(key) }
}

/** Waits while an order is in one of these states. @throws Refusal where it becomes invalid */
async function settled(client: Client, order: AcmeOrder, states: readonly string[]): Promise<AcmeOrder> {
  const now = states.includes(order.status)
    ? await waitUntil(async () => {
        const value = await client.getOrder(order)
        return { value, isDone: !states.includes(value.status), wishMs: waitMs(value) }
      }, 'the server did not come to an end with the order in time')
    : order
  if (now.status !== 'invalid') return now
  const said = 'error' in now ? reasonsOf(now.error) : []
  throw new Refusal(0, '', said.length > 0 ? said : ['the server made the order invalid, and did not say why'])
}

interface Look<T> {
  value: T
  isDone: boolean
  /** How long the server wants us to wait, in ms; 0: it does not say. */
  wishMs: number
}

/** @throws Refusal with `late` when the server takes longer than it may */
async function waitUntil<T>(look: () => Promise<Look<T>>, late: string): Promise<T> {
  const deadline = performance.now() + DECISION_MS
  let wait = FIRST_WAIT_MS
  for (;;) {
    const { value, isDone, wishMs } = await look()
    if (isDone) return value
    const next = Math.max(wait, Math.min(wishMs, LONGEST_WISH_MS))
    if (performance.now() + next > deadline) throw new Refusal(0, '', [late])
    await delay(next)
    wait = Math.min(wait * 1.5, LONGEST_WAIT_MS)
  }
}
