/**
 * Which sites of this thread have work for the helper threads of its process: libuv's pool (four by default), in which Node
 * reads files, hashes, compresses and looks names up for all threads of the process, one after the other.
 *
 * Nothing says whose work one of them does. So the jobs of each site are counted for a moment, when the supervisor has found
 * that they wait (helper-watch.ts): those that are begun, and those from before that end. Limits: what a job of Node's own
 * costs is a guess by its kind, within a factor of ten; of jobs of native addons only the number is known, and only that of
 * new ones. Invariant: while nobody counts, this costs nothing.
 */
import { AsyncResource, createHook, executionAsyncResource } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { HelperUse } from '../core/worker-orders.ts'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'

/** What a job keeps a helper thread for, in ms, by what Node calls it as it begins, or its class as it ends. First match. */
const COSTS: readonly [kind: RegExp, ms: number][] = [
  // Made to be slow.
  [/^(PBKDF2|SCRYPT|ARGON2|KEYPAIRGEN|CHECKPRIME|RANDOMPRIME)REQUEST$/, 50],
  [/^(PBKDF2|Scrypt|Argon2|\w*KeyPairGen|CheckPrime|RandomPrime)Job$/, 50],
  [/^(ZLIB|Zlib|Brotli\w+|Zstd\w+)$/, 3],
  [/^RANDOMBYTESREQUEST$|^RandomBytesJob$/, 0.1],
  [/^(?!HTTPCLIENT)\w+REQUEST$|^\w+Job$/, 0.5],
  [/^(FSREQ|FILEHANDLECLOSEREQ|FSReq|FileHandleCloseReq)/, 0.1],
]
/** A stream that compresses begins a job with each part, and is one resource. */
const STREAMS = /^(ZLIB|Zlib|Brotli|Zstd)/
/** What is not in capitals is of native addons, but for these. */
const OF_NODE: ReadonlySet<string> = new Set(['Immediate', 'Microtask', 'TickObject', 'Timeout'])

/** Counts for `forMs`. Not to be called again before it is over. @returns the sites that had any */
export async function countHelperUse(forMs: number): Promise<Omit<HelperUse, 'thread'>[]> {
  const uses = new Map<Site, { costMs: number; natives: number }>()
  const begun = new Set<number>()
  const useOf = (site: Site): { costMs: number; natives: number } => {
    const use = uses.get(site) ?? { costMs: 0, natives: 0 }
    uses.set(site, use)
    return use
  }
  const hook = createHook({
    trackPromises: false,
    init(id, kind, _trigger, resource) {
      const site = currentSite()
      if (site === undefined || STREAMS.test(kind)) return
      const costMs = costOf(kind)
      if (costMs > 0) {
        begun.add(id)
        useOf(site).costMs += costMs
      } else if (isNative(kind, resource)) useOf(site).natives++
    },
    before(id) {
      const site = currentSite()
      if (site === undefined || begun.has(id)) return
      const costMs = costOf(executionAsyncResource().constructor?.name ?? '')
      if (costMs > 0) useOf(site).costMs += costMs
    },
  })
  hook.enable()
  await delay(forMs)
  hook.disable()
  return [...uses].map(([{ generation }, use]) => ({ generation, ...use }))
}

function costOf(kind: string): number {
  return COSTS.find(([pattern]) => pattern.test(kind))?.[1] ?? 0
}

function isNative(kind: string, resource: object): boolean {
  return kind !== kind.toUpperCase() && !OF_NODE.has(kind) && !(resource instanceof AsyncResource)
}
