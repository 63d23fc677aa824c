/**
 * What has to survive a restart: the account's key, the certificates with their keys, and what became of the last orders.
 * One folder for each ACME server, so that certificates of a test server are never taken for good ones.
 *
 *     state/acme/<server>/account.pem, account.json, server.json, sites/<site>.pem, sites/<site>.json
 *
 * A certificate and its key are one file, so that they always belong together.
 *
 * Invariants: a file is there whole or not at all (written beside, flushed, renamed); nobody but the server's user can read
 * it (0600, folders 0700). A file that cannot be understood is put aside as `.broken`, and is as if it were not there; one
 * that cannot be read is an error, because asking for everything once more would not cure that.
 */
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { chmod, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { KeyPair } from '../core/key-pair.ts'
import type { Log } from '../core/log.ts'
import type { Certificate } from './certificate.ts'
import { readCertificate } from './certificate.ts'
import type { Setbacks } from './schedule.ts'

/** What became of the last orders; never changed, only replaced. */
export interface Attempts extends Setbacks {
  /** Why the last one failed, one for each name. */
  readonly reasons: readonly string[]
  /** What the last one was for. */
  readonly names: readonly string[]
}

export interface Account {
  /** PEM. */
  key: string
  /** As the server named it; undefined until it is registered, with the address that is set now. */
  url: string | undefined
}

/** Nothing was asked for yet. */
export const NO_ATTEMPTS: Attempts = Object.freeze({
  failures: 0,
  lastAt: 0,
  notBefore: 0,
  reasons: [],
  names: [],
})

const KEY_FILE = 'account.pem'
const MAX_FILE_BYTES = 1024 ** 2
const MAX_TEXTS = 100
/** The files of a site, also those that were put aside. */
const OF_SITE = /^([^.].*)\.(?:pem|json)(?:\.broken)?$/
/** No write takes so long. */
const TEMPORARY_MS = 60_000

export class StateFolder {
  /** Absolute. */
  readonly dir: string
  /** Told when the folder was gone, and has been made once more: nothing of what was saved is in it. */
  onRemade: () => void = () => {}
  readonly #state: string
  readonly #log: Log
  #lastTemporary = 0
  #key: Promise<string> | undefined

  private constructor(state: string, directory: string, log: Log) {
    this.#state = state
    this.dir = join(state, 'acme', folderName(directory))
    this.#log = log
  }

  /**
   * Makes the folder of one ACME server, and takes away what a crash left half written.
   *
   * @param state the server's `state` folder, absolute
   * @throws what the system says
   */
  static async open(state: string, directory: string, log: Log): Promise<StateFolder> {
    const folder = new StateFolder(state, directory, log)
    await folder.#make()
    for (const dir of [folder.dir, join(folder.dir, 'sites')]) {
      for (const name of await readdir(dir)) if (name.endsWith('.tmp')) await removeOld(join(dir, name))
    }
    return folder
  }

  async #make(): Promise<void> {
    const sites = join(this.dir, 'sites')
    await mkdir(sites, { recursive: true, mode: 0o700 })
    for (const dir of [this.#state, dirname(this.dir), this.dir, sites]) await chmod(dir, 0o700)
  }

  /** Somebody took the folder away: it is made once more, with the account that is in use. */
  async #makeAnew(): Promise<void> {
    this.#log.warn({ dir: this.dir }, 'the folder of the ACME state was gone, and is made anew')
    await this.#make()
    const key = await this.#key
    if (key !== undefined) await this.#replace(KEY_FILE, key)
    this.onRemade()
  }

  /** The account; its key is made at the first time. @param email with another one it has to be registered again */
  async account(email: string | undefined): Promise<Account> {
    // One for all who ask at once: two keys would be two accounts.
    this.#key ??= this.#accountKey().catch((error: unknown) => {
      this.#key = undefined
      throw error
    })
    const key = await this.#key
    const saved = await this.#read('account.json', readAccount)
    const isSame = saved?.key === fingerprint(key) && saved.email === email
    return { key, url: isSame ? saved.url : undefined }
  }

  /** Remembers where the account is, and with which address. */
  async saveAccount(url: string, email: string | undefined): Promise<void> {
    const { key } = await this.account(email)
    await this.#write('account.json', JSON.stringify({ url, email, key: fingerprint(key) }))
  }

  /** The certificate of a site, if there is one; it may be expired. */
  certificate(site: string): Promise<Certificate | undefined> {
    return this.#read(`sites/${site}.pem`, readPair)
  }

  async saveCertificate(site: string, { cert, key }: KeyPair): Promise<void> {
    await this.#write(`sites/${site}.pem`, `${key.trim()}\n${cert.trim()}\n`)
  }

  /** @param site undefined: of the ACME server as a whole */
  async attempts(site: string | undefined): Promise<Attempts> {
    return (await this.#read(attemptsFile(site), readAttempts)) ?? NO_ATTEMPTS
  }

  async saveAttempts(site: string | undefined, attempts: Attempts): Promise<void> {
    await this.#write(attemptsFile(site), JSON.stringify(attempts))
  }

  /** Takes away what is kept of sites that are not there any more and whose certificate is over. */
  async prune(isKept: (site: string) => boolean, nowMs: number): Promise<void> {
    const files = await readdir(join(this.dir, 'sites'))
    for (const site of new Set(files.flatMap((file) => OF_SITE.exec(file)?.[1] ?? []))) {
      if (isKept(site)) continue
      const certificate = await this.certificate(site)
      if (certificate !== undefined && certificate.notAfter > nowMs) continue
      for (const suffix of ['.pem', '.json', '.pem.broken', '.json.broken'])
        await rm(join(this.dir, 'sites', site + suffix), { force: true, recursive: true })
    }
  }

  async #accountKey(): Promise<string> {
    const found = await this.#read(KEY_FILE, readPrivateKey)
    if (found !== undefined) return found
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    await this.#write(KEY_FILE, key)
    return key
  }

  async #read<T>(name: string, parse: (text: string) => T): Promise<T | undefined> {
    const file = join(this.dir, name)
    const text = await textOf(file)
    if (text === undefined) return undefined
    try {
      return parse(text)
    } catch (error) {
      const reason = (error as Error).message
      this.#log.warn({ file, reason }, 'a file of the ACME state cannot be understood and was put aside as .broken')
      await rm(`${file}.broken`, { force: true, recursive: true })
      await rename(file, `${file}.broken`)
      return undefined
    }
  }

  async #write(name: string, text: string): Promise<void> {
    try {
      await this.#replace(name, text)
    } catch (error) {
      // The key is being made, which nobody may wait for here.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || name === KEY_FILE) throw error
      await this.#makeAnew()
      await this.#replace(name, text)
    }
  }

  async #replace(name: string, text: string): Promise<void> {
    const file = join(this.dir, name)
    const temporary = join(dirname(file), `.${basename(file)}.${process.pid}.${++this.#lastTemporary}.tmp`)
    try {
      await writeFlushed(temporary, text)
      await rename(temporary, file)
    } catch (error) {
      await rm(temporary, { force: true })
      throw withPlace(error, file)
    }
    await flushFolder(dirname(file))
  }
}

/** A server that is about to end may still be writing a fresh one. */
async function removeOld(temporary: string): Promise<void> {
  const stats = await lstat(temporary).catch(() => undefined)
  if (stats !== undefined && Date.now() - stats.mtimeMs > TEMPORARY_MS) {
    await rm(temporary, { force: true, recursive: true })
  }
}

function attemptsFile(site: string | undefined): string {
  return site === undefined ? 'server.json' : `sites/${site}.json`
}

/** A name that a person recognises, and that no other server has. */
function folderName(directory: string): string {
  const host = new URL(directory).host.replace(/[^a-z0-9.-]+/g, '-')
  return `${host}-${createHash('sha256').update(directory).digest('hex').slice(0, 8)}`
}

/** Undefined where there is no such file. A folder in its place, or one that is far too large, counts as garbage. */
async function textOf(file: string): Promise<string | undefined> {
  try {
    const handle = await open(file, 'r')
    try {
      const stats = await handle.stat()
      return stats.isFile() && stats.size <= MAX_FILE_BYTES ? await handle.readFile('utf8') : ''
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function writeFlushed(file: string, text: string): Promise<void> {
  await rm(file, { force: true })
  // `wx`: never through a link that somebody put there.
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What the system says of an open file (`ENOSPC: no space left on device, write`) names none. */
function withPlace(error: unknown, file: string): unknown {
  if (error instanceof Error && (error as NodeJS.ErrnoException).path === undefined) error.message += ` '${file}'`
  return error
}

/** Without that, the new name may be gone after a power cut. */
async function flushFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function readPrivateKey(text: string): string {
  createPrivateKey(text)
  return text
}

/** Where the account of a key is: with another key it would be somebody else's. */
interface SavedAccount {
  url: string
  email: string | undefined
  /** Fingerprint of its key. */
  key: string
}

function readAccount(text: string): SavedAccount {
  const { url, email, key } = JSON.parse(text) as Record<string, unknown>
  return { url: new URL(String(url)).href, email: typeof email === 'string' ? email : undefined, key: String(key) }
}

function fingerprint(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

function readPair(text: string): Certificate {
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----/.exec(text)?.[0]
  if (key === undefined) throw new Error('there is no private key in it')
  return readCertificate({ key: `${key}\n`, cert: text.replace(key, '').trimStart() })
}

function readAttempts(text: string): Attempts {
  const { failures, lastAt, notBefore, reasons, names } = JSON.parse(text) as Record<string, unknown>
  if (![failures, lastAt, notBefore].every((value) => Number.isSafeInteger(value) && Number(value) >= 0)) {
    throw new Error('failures, lastAt and notBefore are not whole numbers')
  }
  const times = { failures: Number(failures), lastAt: Number(lastAt), notBefore: Number(notBefore) }
  return { ...times, reasons: texts(reasons), names: texts(names) }
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.slice(0, MAX_TEXTS).map(String) : []
}
