/**
 * The connection to one ACME server: acme-client with limits on what the server may do, and with its errors whole.
 *
 * acme-client turns a problem document into its `detail` alone, waits for a `Retry-After` of any length by itself, and says
 * "Cannot read properties of undefined" where the server is gone. So its answers are looked at before it sees them: an error
 * becomes a Refusal, except for a bad nonce, which it tries again as it should (RFC 8555 §6.5).
 *
 * Limits: 30 s without a byte, 1 MB for an answer, no redirect. Settings of the HTTP client are the module's own, so there is
 * one authority in a thread.
 */
import { Agent } from 'node:https'
import type { Client } from 'acme-client'
import acme from 'acme-client'
import type { AuthoritySettings } from './orderer.ts'
import { refusalOf, retryAfterMs, typeOf } from './refusal.ts'
import type { Account } from './state-folder.ts'

const ANSWER_TIMEOUT_MS = 30_000
const MAX_ANSWER_BYTES = 1024 ** 2
const MAX_SOCKETS = 8

/** What an HTTP error of axios has, as far as it is used. */
interface AnswerError {
  response?: { status: number; data: unknown; headers: Record<string, unknown> }
}

/** When the server wants to be asked again about an order that is under way. */
const waits = new WeakMap<object, number>()

/**
 * Connects to a server, with an account that need not be there yet.
 *
 * @throws an Error of OpenSSL where `ca` is no certificate
 */
export function connect({ directory, ca, externalAccount }: AuthoritySettings, account: Account): Client {
  const { axios } = acme
  const { defaults, interceptors } = axios
  defaults.timeout = ANSWER_TIMEOUT_MS
  defaults.maxContentLength = MAX_ANSWER_BYTES
  defaults.maxRedirects = 0
  defaults.httpsAgent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, ...(ca === undefined ? {} : { ca }) })
  interceptors.response.clear()
  interceptors.response.use(undefined, answerOf)
  return new acme.Client({
    directoryUrl: directory,
    accountKey: account.key,
    ...(account.url === undefined ? {} : { accountUrl: account.url }),
    ...(externalAccount === undefined ? {} : { externalAccountBinding: externalAccount }),
  })
}

/** How long the server wants us to wait until we look at something again, in ms; 0: it did not say. */
export function waitMs(item: object): number {
  return waits.get(item) ?? 0
}

/** acme-client makes every answer an error at first; what is none is given back. @throws Refusal, or what the network says */
function answerOf(error: AnswerError): AnswerError['response'] {
  const { response } = error
  if (response === undefined) throw error
  const { status, data, headers } = response
  const wait = retryAfterMs(headers['retry-after'], Date.now())
  if (status < 300) {
    if (typeof data === 'object' && data !== null) waits.set(data, wait)
    return response
  }
  if (status === 400 && typeOf(data) === 'badNonce') return response
  throw refusalOf(status, data, wait)
}
