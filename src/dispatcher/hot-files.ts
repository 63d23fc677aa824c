/**
 * Small files that are asked for often, in memory, ready to be sent, and what was found for paths: what memcached does in
 * front of other servers. One for all sites; a folder's keys begin with its own id, so none gets another's.
 *
 * Nothing is watched. What is kept is believed for `RECHECK_MS`; the first request after that looks at the disk, with all
 * checks of names, links and permissions, while others go on with what is kept, for at most `MAX_AGE_MS` in all. So
 * whatever changes is seen within a second, by a change of the disk that no watch would tell (NFS, a link above the root)
 * as well, and a hot file costs two looks a second.
 *
 * Limits: `MAX_BYTES` in all, `MAX_FILE_BYTES` for a file, `MAX_PATHS` paths. Invariant: bytes are only used again for a
 * file with the number, size and dates that they were read with, and not if it had just been written then: within one
 * tick of the file system's clock it may be written again without a trace.
 */
import type { Stats } from 'node:fs'
import { LRUCache } from 'lru-cache'
import type { Found } from './find-file.ts'
import { withoutFields } from './header-fields.ts'
import type { Coding } from './precompressed.ts'
import { chooseCoding } from './precompressed.ts'
import { RepeatedHead } from './repeated-head.ts'

/** Largest file that is kept, in bytes. */
export const MAX_FILE_BYTES = 256 * 1024
const MAX_BYTES = 32 * 1024 * 1024
/** What an answer takes beside its body, in bytes. */
const OVERHEAD_BYTES = 2048
const MAX_PATHS = 4096
/** Longer paths are looked up each time. */
const MAX_PATH_LENGTH = 512
const RECHECK_MS = 400
const MAX_AGE_MS = 800
/** Some file systems count in steps of two seconds. */
const SETTLED_MS = 2500
/** Up to this size a body is kept as a latin1 string, which Node joins to the head for one write to the kernel. */
const JOIN_BYTES = 16 * 1024

/** What a client that has the file already is not told; as @fastify/send does it. */
const NOT_OF_304 = new Set(['content-type', 'content-encoding', 'content-length'])

/** Something that was seen on the disk. */
interface Seen {
  /** As `performance.now()`: when looking began. */
  at: number
  isBeingChecked: boolean
}

/** A whole answer of status 200. */
export interface HotAnswer extends Seen {
  head: RepeatedHead
  /** Of the 304 for a client that has it already. */
  unchanged: RepeatedHead
  /** A string has one character for each byte. */
  body: Buffer | string
  etag: string
  modified: string
  /** The file as it was read. */
  stat: Stats
  /** Whether the file had not been written for a while when it was read. */
  isSettled: boolean
}

/** A file in the forms in which it has been sent. */
interface HotFile {
  codings: readonly Coding[]
  /** By the name of the coding; '' for the file as it is. */
  answers: Map<string, HotAnswer>
}

interface SeenPath extends Seen {
  found: Found
}

/** A file in one of the forms in which it can be sent. */
export interface FileForm {
  /** Absolute. */
  file: string
  /** Undefined for the file as it is. */
  coding: Coding | undefined
  /** Those in which it is there. */
  codings: readonly Coding[]
}

/** What is known of a path: an answer to send, or that something else than a file is there. */
export type Known = { answer: HotAnswer } | { found: Exclude<Found, { kind: 'file' }> } | undefined

export class HotFiles {
  readonly #paths = new LRUCache<string, SeenPath>({ max: MAX_PATHS })
  readonly #files = new LRUCache<string, HotFile>({ maxSize: MAX_BYTES, sizeCalculation: bytesOf })
  #lastId = 0

  /** Begins the keys of a folder. */
  nextId(): string {
    return `${++this.#lastId}:`
  }

  /** What is known and may be used at this moment. @param accept the request's Accept-Encoding */
  know(id: string, path: string, accept: string | undefined): Known {
    const now = performance.now()
    const seen = this.#paths.get(id + path)
    if (seen === undefined || !mayBeUsed(seen, now)) return undefined
    if (seen.found.kind !== 'file') return { found: seen.found }
    const hot = this.#files.get(id + seen.found.file)
    if (hot === undefined) return undefined
    const answer = hot.answers.get(chooseCoding(accept, hot.codings)?.name ?? '')
    return answer !== undefined && mayBeUsed(answer, now) ? { answer } : undefined
  }

  /** Keeps what a path leads to. @param at when looking began, as `performance.now()` */
  keepPath(id: string, path: string, found: Found, at: number): void {
    if (path.length <= MAX_PATH_LENGTH) this.#paths.set(id + path, { found, at, isBeingChecked: false })
  }

  /** Nothing is known of a path any more, nor of the file that it led to. */
  forget(id: string, path: string): void {
    const seen = this.#paths.get(id + path)
    this.#paths.delete(id + path)
    if (seen?.found.kind === 'file') this.#files.delete(id + seen.found.file)
  }

  /** All that is kept of a folder goes. */
  forgetFolder(id: string): void {
    for (const cache of [this.#paths, this.#files]) {
      for (const key of [...cache.keys()]) if (key.startsWith(id)) cache.delete(key)
    }
  }

  /** The answer with a file, where it is known to be what the disk has. @param stat of the open file */
  answerOf(id: string, { file, coding, codings }: FileForm, stat: Stats): HotAnswer | undefined {
    const hot = this.#files.get(id + file)
    // Its head says whether there are other forms.
    if (hot === undefined || hot.codings.length > 0 !== codings.length > 0) return undefined
    const answer = hot.answers.get(coding?.name ?? '')
    return answer?.isSettled && isSame(answer.stat, stat) ? answer : undefined
  }

  /** Keeps an answer, in the place of the one that was kept before. */
  keepAnswer(id: string, { file, coding, codings }: FileForm, answer: HotAnswer): void {
    const before = this.#files.get(id + file)
    const kept = [...(before?.answers ?? [])].filter(
      ([name]) => name === '' || codings.some((one) => one.name === name),
    )
    // A new object each time, for the cache counts the bytes of one that it has only once.
    this.#files.set(id + file, { codings, answers: new Map([...kept, [coding?.name ?? '', answer]]) })
  }
}

/** When a file was read: Unix time in ms, and when looking for it began, as `performance.now()`. */
export interface ReadTimes {
  readAt: number
  lookedAt: number
}

/** An answer as it is kept. @param stat of the file as it was read */
export function hotAnswer(
  headers: Record<string, string>,
  bytes: Buffer,
  stat: Stats,
  { readAt, lookedAt }: ReadTimes,
): HotAnswer {
  const fields = Object.entries(headers).flatMap(([name, value]) => [name, String(value)])
  const confirmed = withoutFields(fields, (name) => NOT_OF_304.has(name))
  return {
    head: new RepeatedHead(200, undefined, fields),
    unchanged: new RepeatedHead(304, undefined, confirmed),
    body: bytes.byteLength <= JOIN_BYTES ? bytes.toString('latin1') : bytes,
    etag: headers.ETag ?? '',
    modified: headers['Last-Modified'] ?? '',
    stat,
    isSettled: readAt - Math.max(stat.mtimeMs, stat.ctimeMs) > SETTLED_MS,
    at: lookedAt,
    isBeingChecked: false,
  }
}

/** The date of the last change of owner, permissions or name is looked at too: `mtime` can be set at will. */
export function isSame(one: Stats, other: Stats): boolean {
  const isSameFile = one.ino === other.ino && one.dev === other.dev && one.size === other.size
  return isSameFile && one.mtimeMs === other.mtimeMs && one.ctimeMs === other.ctimeMs
}

function mayBeUsed(seen: Seen, now: number): boolean {
  const age = now - seen.at
  if (age < RECHECK_MS) return true
  if (age < MAX_AGE_MS && seen.isBeingChecked) return true
  seen.isBeingChecked = true
  return false
}

function bytesOf({ answers }: HotFile, key: string): number {
  let bytes = key.length
  for (const { body } of answers.values()) bytes += body.length + OVERHEAD_BYTES
  return bytes
}
