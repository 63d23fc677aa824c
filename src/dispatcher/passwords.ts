/**
 * Checks passwords against bcrypt hashes, at the pace that the machine bears: a check takes a processor for 50 ms and more.
 * What was found right is remembered for a while, by a hash with a key that this process made up, so that no password is
 * kept and not every request pays.
 *
 * Limits: `MAX_AT_ONCE` checks, `MAX_WAITING` waiting, of these `MAX_OF_ONE` of one address, but the same password is checked
 * once for all who send it meanwhile; `MAX_REMEMBERED` for `REMEMBERED_MS`. Invariant: a name that is not known takes as long as one that is.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** They run on the four threads in which files are read too. */
const MAX_AT_ONCE = 2
const MAX_WAITING = 100
const MAX_OF_ONE = 10
const MAX_REMEMBERED = 10_000
const REMEMBERED_MS = 10 * 60_000
/** Of no password; with the cost that `htpasswd -B` has unless told otherwise. */
const STAND_IN = '$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'

/** `busy`: too many others are being checked, or nothing can be. */
export type Outcome = 'right' | 'wrong' | 'busy'

export interface Attempt {
  name: string
  password: string
  /** Of whoever tries. */
  address: string
}

export class Passwords {
  readonly #key = randomBytes(32)
  readonly #right = new LRUCache<string, true>({ max: MAX_REMEMBERED, ttl: REMEMBERED_MS, ttlResolution: 1_000 })
  readonly #waiting: (() => void)[] = []
  readonly #ofAddress = new Map<string, number>()
  /** Checks that are not over, by hash and password. */
  readonly #underWay = new Map<string, Promise<Outcome>>()
  #running = 0

  /**
   * Loads what checks passwords, which most servers never need: while it is there, because the package may be replaced under the server,
   * and before somebody waits for it.
   */
  prepare(): void {
    loadVerify().catch(() => {})
  }

  /** Whether the password is right by what is remembered; at once. */
  isKnown(users: Readonly<Record<string, string>>, { name, password }: Attempt): boolean {
    const hash = hashOf(users, name)
    return hash !== undefined && this.#right.get(this.#keyOf(hash, password)) === true
  }

  /** Checks a password. Never rejects. @param users hashes by name */
  check(users: Readonly<Record<string, string>>, { name, password, address }: Attempt): Promise<Outcome> {
    const hash = hashOf(users, name)
    const key = this.#keyOf(hash ?? '', password)
    // A page and all that is in it, asked for at once, is one check.
    const under = this.#underWay.get(key)
    if (under !== undefined) return under
    const ofAddress = this.#ofAddress.get(address) ?? 0
    if (ofAddress >= MAX_OF_ONE || this.#waiting.length >= MAX_WAITING) return Promise.resolve('busy')
    this.#ofAddress.set(address, ofAddress + 1)
    const checked = this.#verify(password, hash ?? Object.values(users)[0] ?? STAND_IN).then((outcome): Outcome => {
      this.#leave(address)
      this.#underWay.delete(key)
      if (outcome !== 'right') return outcome
      if (hash === undefined) return 'wrong'
      this.#right.set(key, true)
      return 'right'
    })
    this.#underWay.set(key, checked)
    return checked
  }

  async #verify(password: string, hash: string): Promise<Outcome> {
    await this.#turn()
    const verify = await loadVerify().catch(() => undefined)
    // It says nothing of the password.
    if (verify === undefined) return 'busy'
    try {
      return (await verify(password, hash)) ? 'right' : 'wrong'
    } catch {
      return 'wrong'
    }
  }

  async #turn(): Promise<void> {
    if (this.#running >= MAX_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
  }

  #leave(address: string): void {
    const left = (this.#ofAddress.get(address) ?? 1) - 1
    if (left === 0) this.#ofAddress.delete(address)
    else this.#ofAddress.set(address, left)
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }

  #keyOf(hash: string, password: string): string {
    return createHmac('sha256', this.#key).update(`${hash}\0${password}`).digest('base64')
  }
}

function hashOf(users: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(users, name) ? users[name] : undefined
}

async function loadVerify(): Promise<(password: string, hash: string) => Promise<boolean>> {
  const { verify } = await import('@node-rs/bcrypt')
  return verify
}
