/**
 * The thread that talks to the ACME server: started by order-host.ts with AuthoritySettings, ended by it as well.
 *
 * Invariant: every order gets exactly one outcome, whatever is thrown on the way.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Client } from 'acme-client'
import { connect } from './authority.ts'
import { outcomeOf } from './failure.ts'
import type { AuthoritySettings, Challenge, FromThread, Order, ToThread } from './orderer.ts'
import type { Prepare } from './place-order.ts'
import { placeOrder } from './place-order.ts'
import { Refusal } from './refusal.ts'
import type { Account } from './state-folder.ts'

const settings = workerData as AuthoritySettings
const waiting = new Map<number, PromiseWithResolvers<void>>()
/** The client with its account, or the attempt to get one; one for all orders. */
let authority: Promise<Client> | undefined

parentPort?.on('message', (message: ToThread) => {
  if (message.type === 'order') run(message.id, message.order)
  else if (message.fault === undefined) waiting.get(message.id)?.resolve()
  else waiting.get(message.id)?.reject(new Error(message.fault))
})

function run(id: number, order: Order): void {
  const prepare: Prepare = (challenges) => handOver(id, challenges)
  getCertificate(order, prepare)
    .then((pair) => tell({ type: 'outcome', id, outcome: { kind: 'issued', pair } }))
    .catch((error: unknown) => tell({ type: 'outcome', id, outcome: outcomeOf(error, settings.directory) }))
    .finally(() => waiting.delete(id))
}

async function getCertificate(order: Order, prepare: Prepare): ReturnType<typeof placeOrder> {
  const client = await registered(order.account)
  try {
    return await placeOrder(client, order, prepare)
  } catch (error) {
    if (!(error instanceof Refusal) || error.type !== 'accountDoesNotExist') throw error
    return placeOrder(await registeredAnew(client, order.account), order, prepare)
  }
}

/** Puts the challenges in place, which is done on the other side. */
function handOver(id: number, challenges: Challenge[]): Promise<void> {
  const done = Promise.withResolvers<void>()
  waiting.set(id, done)
  tell({ type: 'challenges', id, challenges })
  return done.promise
}

/** The client of the account, which is registered where it is not yet. */
function registered(account: Account): Promise<Client> {
  authority ??= register(account).catch((error: unknown) => {
    authority = undefined
    throw error
  })
  return authority
}

/** The server has forgotten the account: it gets it once more, for all orders that find that out. */
async function registeredAnew(forgotten: Client, account: Account): Promise<Client> {
  if ((await authority) === forgotten) authority = undefined
  return registered({ ...account, url: undefined })
}

async function register(account: Account): Promise<Client> {
  const client = connect(settings, account)
  if (account.url !== undefined) return client
  const contact = settings.email === undefined ? {} : { contact: [`mailto:${settings.email}`] }
  try {
    await client.createAccount({ termsOfServiceAgreed: true, ...contact })
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { status, type, message, retryAfterMs } = error
    const cure = type === 'externalAccountRequired' ? `: ${EAB_CURE}` : ''
    throw new Refusal(status, 'account', [`the account: ${message}${cure}`], retryAfterMs)
  }
  tell({ type: 'account', url: client.getAccountUrl() })
  return client
}

const EAB_CURE = 'get a key for external account binding there, and write it to [acme] eab_kid and eab_hmac_key'

function tell(message: FromThread): void {
  parentPort?.postMessage(message)
}
