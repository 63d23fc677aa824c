/**
 * Runs the thread that talks to the ACME server: started by the first order, ended when nothing was asked for a while.
 * Puts the challenges of each order in place, and takes them away with its outcome.
 *
 * Invariants: every order gets exactly one outcome, also when the thread ends or gets stuck (`ORDER_MS`); no challenge stays
 * behind.
 */

import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { AcmeConfig } from '../config/server-acme.ts'
import { entryUrl } from '../core/entry.ts'
import type { KeyPair } from '../core/key-pair.ts'
import type { AuthoritySettings, Challenge, FromThread, Order, Outcome, ToThread } from './orderer.ts'

/** Where the answers to challenges are given. */
export interface ChallengePlace {
  /** What plain requests for `/.well-known/acme-challenge/TOKEN` are answered with, by token. */
  readonly httpChallenges: Map<string, string>
  /** The certificate for handshakes with the protocol `acme-tls/1`, by name. @throws where the pair is none */
  setChallenge(name: string, pair: KeyPair): void
  removeChallenge(name: string): void
}

/** Whoever gets certificates. */
export interface Orderer {
  /** Never rejects. */
  order(order: Order): Promise<Outcome>
  /** Ends what is under way, as unavailable. */
  close(): Promise<void>
}

interface OpenOrder {
  challenges: Challenge[]
  timer: NodeJS.Timeout
  settle(outcome: Outcome): void
}

/** The ACME server, and as whom it is asked. */
type Authority = Pick<AcmeConfig, 'directory' | 'email' | 'caFile' | 'externalAccount'>

/** Longest that an order may take in all; the limits within it are shorter. */
const ORDER_MS = 10 * 60_000
/** How long the thread is kept when there is nothing to ask for. */
const IDLE_MS = 30_000
const THREAD_HEAP_MB = 256

export class OrderHost implements Orderer {
  readonly #settings: Authority
  readonly #place: ChallengePlace
  readonly #onAccount: (url: string) => void
  readonly #open = new Map<number, OpenOrder>()
  #thread: Worker | undefined
  #idle: NodeJS.Timeout | undefined
  #lastId = 0
  #isClosed = false

  /** @param onAccount called with where the account is, once it is registered */
  constructor(settings: Authority, place: ChallengePlace, onAccount: (url: string) => void) {
    this.#settings = settings
    this.#place = place
    this.#onAccount = onAccount
  }

  async order(order: Order): Promise<Outcome> {
    if (this.#isClosed) return unavailable('vhostel is being stopped')
    clearTimeout(this.#idle)
    try {
      this.#thread ??= this.#start()
    } catch (error) {
      return unavailable((error as Error).message)
    }
    const id = ++this.#lastId
    const outcome = new Promise<Outcome>((settle) => {
      const timer = setTimeout(() => this.#endSoon('the ACME server did not come to an end with an order'), ORDER_MS)
      this.#open.set(id, { challenges: [], timer, settle })
    })
    this.#tell({ type: 'order', id, order })
    return outcome
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#end('vhostel is being stopped')
  }

  #start(): Worker {
    const { caFile, directory, email, externalAccount } = this.#settings
    const ca = caFile === undefined ? undefined : readFileSync(caFile, 'utf8')
    const thread = new Worker(entryUrl(import.meta, './order-thread'), {
      workerData: { directory, email, ca, externalAccount } satisfies AuthoritySettings,
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB },
      execArgv: [],
    })
    // Orders are waited for by the manager; the thread alone keeps no server up.
    thread.unref()
    thread.on('message', (message: FromThread) => this.#hear(message))
    thread.on('error', (error: unknown) => this.#lose(thread, error instanceof Error ? error.message : String(error)))
    thread.on('exit', () => this.#lose(thread, 'its thread ended'))
    return thread
  }

  #hear(message: FromThread): void {
    switch (message.type) {
      case 'account':
        return this.#onAccount(message.url)
      case 'challenges':
        return this.#prepare(message.id, message.challenges)
      case 'outcome':
        return this.#settle(message.id, message.outcome)
      default:
        return message satisfies never
    }
  }

  #prepare(id: number, challenges: Challenge[]): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    // An order that finds its account forgotten is placed once more, with other challenges.
    this.#remove(open.challenges)
    open.challenges = challenges
    let fault: string | undefined
    try {
      for (const challenge of challenges) this.#put(challenge)
    } catch (error) {
      fault = (error as Error).message
    }
    this.#tell({ type: 'prepared', id, fault })
  }

  #put(challenge: Challenge): void {
    if (challenge.type === 'http-01') this.#place.httpChallenges.set(challenge.token, challenge.keyAuthorization)
    else this.#place.setChallenge(challenge.name, challenge.pair)
  }

  #remove(challenges: readonly Challenge[]): void {
    for (const challenge of challenges) {
      if (challenge.type === 'http-01') this.#place.httpChallenges.delete(challenge.token)
      else this.#place.removeChallenge(challenge.name)
    }
  }

  #settle(id: number, outcome: Outcome): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    this.#open.delete(id)
    clearTimeout(open.timer)
    this.#remove(open.challenges)
    open.settle(outcome)
    if (this.#open.size === 0) this.#idle = setTimeout(() => this.#endSoon(''), IDLE_MS).unref()
  }

  /** As `#end`, for callers that do not wait. */
  #endSoon(reason: string): void {
    this.#end(reason).catch(() => {}) // it is ending already
  }

  /** Ends the thread, and every order that is under way. */
  async #end(reason: string): Promise<void> {
    const thread = this.#thread
    this.#lose(thread, reason)
    await thread?.terminate()
  }

  #lose(thread: Worker | undefined, reason: string): void {
    if (thread !== this.#thread) return
    this.#thread = undefined
    for (const id of [...this.#open.keys()]) this.#settle(id, unavailable(reason))
    clearTimeout(this.#idle)
  }

  #tell(message: ToThread): void {
    this.#thread?.postMessage(message)
  }
}

function unavailable(reason: string): Outcome {
  return { kind: 'unavailable', reasons: [reason], retryAfterMs: 0 }
}
