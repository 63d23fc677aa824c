/**
 * The messages between the dispatcher and a thread, as one union, with their codes and limits. docs/protocol.md tells
 * their order and meaning in prose; this file is the truth about their shape.
 *
 * Invariant: every frame that can be sent is a member of `Frame`; a `switch` over it ends in `assertNever`.
 */

import type { ReadMemory } from './read-memory.ts'

/** Largest payload of one frame, in bytes. A `load` frame (a site's environment and options) is the largest in use. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024

/**
 * How many body bytes one side may have sent for one request without the other having consumed them, in bytes and per
 * direction. Bounds memory at (requests in flight × 2 × window); 128 KiB keeps a unix socket busy on loopback.
 */
export const BODY_WINDOW_BYTES = 128 * 1024

/** Longest body chunk put into one frame, in bytes; longer ones are cut by the sender. */
export const MAX_CHUNK_BYTES = 64 * 1024

/** The head of a request as the front parsed it. Header names keep their case and order, as in `rawHeaders`. */
export interface RequestHead {
  /** Which generation of which site is meant; see `LoadOrder.generation`. */
  generation: number
  method: string
  /** The target in origin form (or `*`). */
  url: string
  /** Minor version of HTTP/1.x. */
  httpMinor: number
  /** Flat: name, value, name, value, … as latin1 strings. */
  headers: string[]
  remoteAddress: string
  remotePort: number
  localAddress: string
  localPort: number
  /** Whether the client's connection is TLS. */
  encrypted: boolean
  /** Whether the client's connection can be kept after this request. */
  keepAlive: boolean
  /** Whether the client asks for another protocol and its socket is ready to become a tunnel. */
  upgrade: boolean
}

/**
 * Head of an answer: what `ServerResponse` was told, without framing headers, which are the front's. Nobody changes one: of those
 * that are equal, the reader may get one object (known-heads.ts).
 */
export interface ResponseHead {
  readonly status: number
  readonly reason: string
  /** Flat: name, value, name, value, … as latin1 strings. */
  readonly headers: readonly string[]
  /** As it goes into a frame (`responseText`), where its writer has kept that. */
  readonly text?: string
  /** What its reader has worked out of it. Does not go with it. */
  memo?: object
}

/** How a site module's export is taken; `auto` tells it from the file. */
export type ModuleType = 'auto' | 'fastify' | 'fetch' | 'handler' | 'listen'

/** What a thread needs to load one generation of one site. */
export interface LoadOrder {
  /** Unique number of this generation in this dispatcher's life. */
  generation: number
  site: string
  /** Absolute folder that the site sees as its working directory. */
  root: string
  /** Absolute path of the module file. */
  module: string
  /** What the module finds behind its own name in `process.argv`. */
  args: readonly string[]
  type: ModuleType
  /** Which captured server is the site when it starts several; undefined takes the first. */
  httpPort: number | undefined
  /** The whole environment that the site sees. */
  env: Record<string, string>
  /** Options for a Fastify plugin. */
  options: Record<string, unknown>
  startTimeoutMs: number
  stopTimeoutMs: number
}

/** Why a generation could not be loaded, with the place if it is known. */
export interface LoadFailure {
  message: string
  /** Absolute file, and line and column from 1, of the fault in the site's code. */
  file?: string | undefined
  line?: number | undefined
  column?: number | undefined
  stack?: string | undefined
}

/** What became of a load order. */
export interface LoadReport {
  /** What the module turned out to be; undefined when it failed. */
  shape: Exclude<ModuleType, 'auto'> | undefined
  failure?: LoadFailure | undefined
  /** The site's own files that were read, absolute, without `node_modules`; also after a failure. */
  files: string[]
  /** Time from order to report, in ms. */
  tookMs: number
}

/** Levels of a line that a site wrote. `fatal`: an error that nothing in the site caught. */
export type LogLevel = 'out' | 'err' | 'warn' | 'fatal'

export type Frame =
  // first frame of a thread: which one it is, and the secret it was given
  | { type: 'hello'; id: 0; thread: number; token: string }
  // dispatcher → thread. `body` is the first part of the body; `last` says there is no more.
  | { type: 'request'; id: number; head: RequestHead; body: Uint8Array; last: boolean }
  // thread → dispatcher, when the site's handler is about to be called
  | { type: 'started'; id: number }
  // thread → dispatcher: 1xx
  | { type: 'informational'; id: number; head: ResponseHead }
  // thread → dispatcher. `body` and `last` as in a request, `memory` as of a body.
  | {
      type: 'response'
      id: number
      head: ResponseHead
      body: Uint8Array
      last: boolean
      memory?: ReadMemory | undefined
    }
  // thread → dispatcher: from here on, body frames are bytes of the client's own connection, both ways
  | { type: 'tunnel'; id: number }
  // both ways. `memory` is what the chunk is a part of: whoever is done with it may say so, a channel when it was written
  | { type: 'body'; id: number; chunk: Uint8Array; memory?: ReadMemory | undefined }
  | { type: 'end'; id: number; trailers: string[] }
  | { type: 'credit'; id: number; bytes: number }
  // to the thread: the client is gone; to the dispatcher: the site destroyed its socket
  | { type: 'abort'; id: number; reason: string }
  // thread → dispatcher: the site's code failed before its answer began, and its log says why
  | { type: 'failed'; id: number }
  // the life of a generation in a thread; `id` is the generation
  | { type: 'load'; id: number; order: LoadOrder }
  | { type: 'loaded'; id: number; report: LoadReport }
  | { type: 'unload'; id: number }
  | { type: 'unloaded'; id: number }
  // what is being loaded is not the newest any more
  | { type: 'outdate'; id: number }
  // files that a generation read after it was loaded
  | { type: 'files'; id: number; files: string[] }
  // a line for the site's log; `id` is the generation, 0 when no site is known; `request` is the X-Request-Id of the
  // request whose code wrote it
  | { type: 'log'; id: number; level: LogLevel; text: string; request?: string }
  // what a generation did to all sites of its thread; the thread has undone it
  | { type: 'offence'; id: number; text: string }
  // a generation is about to load native code, which may end the process
  | { type: 'native'; id: number }

export type FrameType = Frame['type']

/** The byte that stands for each type. Numbers are never reused. */
export const FRAME_CODES = {
  hello: 1,
  request: 2,
  started: 3,
  informational: 4,
  response: 5,
  tunnel: 6,
  body: 7,
  end: 8,
  credit: 9,
  abort: 10,
  load: 11,
  loaded: 12,
  unload: 13,
  unloaded: 14,
  files: 15,
  log: 16,
  offence: 17,
  native: 18,
  outdate: 19,
  failed: 20,
} as const satisfies Record<FrameType, number>

/** Ends a `switch` over a union: a member that is not handled fails to compile. */
export function assertNever(value: never): never {
  throw new TypeError(`unhandled: ${JSON.stringify(value)}`)
}
