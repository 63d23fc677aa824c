/**
 * Lets jobs that are made to be slow (hashes of passwords, keys, primes) into the helper threads of a shared process one at a
 * time, and the sites of this thread in turn. Otherwise all of them wait in libuv's one queue, and with them every neighbour that
 * reads a file or looks a name up: 1.1 to 1.7 s behind two dozen hashes.
 *
 * Node's own functions and the Web Crypto API end in the same classes of native jobs, which nothing public names; but an async
 * hook is shown each one as it is made. Their `run` is what begins them, after the arguments were checked and copied, so who
 * called notices nothing but the time. Of add-ons, those are known that hash passwords. Limits: jobs of other add-ons begin at
 * once; so do jobs that a version of Node begins in another way. Invariant: at most
 * `SLOW_JOBS_AT_ONCE` jobs of this thread are begun and not over, and each one begins.
 */
import { AsyncResource, createHook } from 'node:async_hooks'
import crypto from 'node:crypto'
import { SLOW_JOBS_AT_ONCE } from '../core/helper-threads.ts'
import { JobTurns } from './job-turns.ts'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'

type AnyFunction = (...args: unknown[]) => unknown
type Members = Record<string, unknown>

/** What of a native job of Node's is used here. */
interface Job {
  /** Gives the result where the caller stands still for it, and for the Web Crypto API a promise. */
  run(): unknown
  /** There where it is to be called back. */
  ondone?: AnyFunction
}

/** Functions of add-ons, by where their packages are: they call their last argument back, or give a promise. */
const ADDONS: readonly [path: RegExp, names: readonly string[]][] = [
  [/[/\\]bcrypt[/\\]/, ['encrypt', 'compare']],
  [/[/\\]argon2[/\\]/, ['hash']],
  [/[/\\]@node-rs[/\\](bcrypt|argon2)-/, ['hash', 'hashRaw', 'verify']],
]

const turns = new JobTurns<Site | undefined>(SLOW_JOBS_AT_ONCE)

/** Once a thread that sites share, before any of them is loaded. */
export function installSlowJobs(): void {
  for (const prototype of findJobs()) letJobsIn(prototype)
  for (const name of WEB) markCalls(SubtleCrypto.prototype as unknown as Members, name)
  const { dlopen } = process
  process.dlopen = (...args) => {
    Reflect.apply(dlopen, process, args)
    const [module, file] = args as [{ exports: Members }, string]
    const names = ADDONS.find(([path]) => path.test(file))?.[1] ?? []
    for (const name of names) letFunctionIn(module.exports, name)
  }
}

// ---- Node's own ----------------------------------------------------------------------------------------------------

/** One of each class. Keys of other algorithms are either made quickly, as those of elliptic curves, or hardly ever. */
const MAKERS: readonly (() => void)[] = [
  () => crypto.pbkdf2('', '', 1, 1, 'sha1', nothing),
  () => crypto.scrypt('', '', 1, nothing),
  () => crypto.generateKeyPair('rsa', { modulusLength: 512 }, nothing),
  () => crypto.generatePrime(3, nothing),
  () => crypto.checkPrime(3n, nothing),
  () => {
    const cheap = { nonce: Buffer.alloc(8), parallelism: 1, tagLength: 4, memory: 8, passes: 1 }
    crypto.argon2('argon2id', { message: '', ...cheap }, nothing)
  },
]

/** The prototypes of the native jobs, each shown by one that is made and never begun. */
function findJobs(): Iterable<Job> {
  const runs = new Map<Job, Job['run']>()
  const hook = createHook({
    trackPromises: false,
    init(_id, _kind, _trigger, resource) {
      const prototype = Object.getPrototypeOf(resource) as Job
      if (typeof prototype.run !== 'function' || runs.has(prototype)) return
      runs.set(prototype, prototype.run)
      prototype.run = nothing
    },
  })
  hook.enable()
  MAKERS.forEach(makeIfThere)
  hook.disable()
  for (const [prototype, run] of runs) prototype.run = run
  return runs.keys()
}

/** Node before 24.7, and one that is built with another OpenSSL, has not got all. */
function makeIfThere(make: () => void): void {
  try {
    make()
  } catch {}
}

function letJobsIn(prototype: Job): void {
  const { run } = prototype
  prototype.run = function letIn(this: Job): unknown {
    const { ondone } = this
    const begin = (): unknown => Reflect.apply(run, this, [])
    if (typeof ondone !== 'function') return webCalls > 0 ? promiseLater(begin, []) : begin()
    this.ondone = function done(this: Job, ...results: unknown[]): unknown {
      turns.end()
      return Reflect.apply(ondone, this, results)
    }
    turns.begin(currentSite(), begin)
  }
}

/** Functions of the Web Crypto API that begin slow jobs, before they come back. */
const WEB = ['deriveBits', 'deriveKey', 'generateKey']
/** How many of them are being called: a job that is begun now and is not to be called back gives a promise. */
let webCalls = 0

function markCalls(owner: Members, name: string): void {
  owner[name] = new Proxy(owner[name] as AnyFunction, {
    apply: (target, self, args) => {
      webCalls++
      try {
        return Reflect.apply(target, self, args)
      } finally {
        webCalls--
      }
    },
  })
}

function nothing(): void {}

// ---- add-ons -------------------------------------------------------------------------------------------------------

const inTurn = new WeakSet<AnyFunction>()

/** The same function for who calls it, but that it may begin later. */
function letFunctionIn(owner: Members, name: string): void {
  const work = owner[name] as AnyFunction | undefined
  // An add-on may hand out one function twice: what waits for its turn within its turn waits for itself.
  if (typeof work !== 'function' || inTurn.has(work)) return
  const later = new Proxy(work, {
    apply: (_target, _self, args) => {
      const callback: unknown = args.at(-1)
      const given = args.map(copyBytes)
      return typeof callback === 'function'
        ? callLater(work, given.with(-1, AsyncResource.bind(callback as AnyFunction)))
        : promiseLater(work, given)
    },
  })
  inTurn.add(later)
  owner[name] = later
}

/** The caller may write over a password as soon as the call is back. */
function copyBytes(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value) : value
}

function callLater(work: AnyFunction, args: unknown[]): void {
  const callback = args.at(-1) as AnyFunction
  const done: AnyFunction = (...results) => {
    turns.end()
    callback(...results)
  }
  turns.begin(currentSite(), () => {
    try {
      work(...args.with(-1, done))
    } catch (error) {
      done(error)
    }
  })
}

async function promiseLater(work: AnyFunction, args: unknown[]): Promise<unknown> {
  await new Promise<void>((resolve) => turns.begin(currentSite(), resolve))
  try {
    return await work(...args)
  } finally {
    turns.end()
  }
}
