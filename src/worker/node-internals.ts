/**
 * The few members of Node's HTTP objects that are not public and that the adapter needs, in one place: their types, and
 * the symbols they hide behind. Everything else is done by Node's own public behaviour.
 *
 * Why at all: `http.Server` builds a request from a parser's callbacks, and there is no public way to build the same
 * objects from a head that was parsed elsewhere. The names are those of Node 24 and 26 (`lib/_http_incoming.js`,
 * `lib/_http_outgoing.js`, `lib/_http_server.js`); `test/worker/node-internals.test.ts` fails when one is missing.
 */
import { IncomingMessage, OutgoingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** What Node's parser callbacks use of a request. */
export interface RequestInternals extends IncomingMessage {
  /** Whether anybody has begun to read the body. */
  _consuming: boolean
  /** Whether the body is thrown away. */
  _dumped: boolean
  upgrade: boolean | null
  joinDuplicateHeaders: boolean
  _readableState: { resumeScheduled: boolean; pipes: unknown[] }
  _dump(): void
  _dumpAndCloseReadable(): void
  _addHeaderLines(headers: string[], count: number): void
}

/** What Node's server uses of a response. */
export interface ResponseInternals extends ServerResponse {
  _header: string | null
  _headerSent: boolean
  _hasBody: boolean
  _trailer: string
  _closed: boolean
  _sent100: boolean
  _expect_continue: boolean
  finished: boolean
  destroyed: boolean
  chunkedEncoding: boolean
  _storeHeader(statusLine: string, headers: unknown): void
  _finish(): void
}

/** What a response's prototype chain has, so that own properties can go on to it. */
export const responsePrototype = ServerResponse.prototype as ResponseInternals

/** The class a server wants its requests to be: `http.createServer({ IncomingMessage })`. */
export type RequestClass = new (socket: Socket) => IncomingMessage
/** The class a server wants its responses to be: `http.createServer({ ServerResponse })`. */
export type ResponseClass = new (
  req: IncomingMessage,
  options?: { rejectNonStandardBodyWrites: boolean },
) => ServerResponse

/** Members of Node's objects that have a symbol for a name. */
export const internalSymbols = findSymbols()

function findSymbols() {
  const server = new Server()
  const response = new OutgoingMessage()
  return {
    /** On a server: the class of its requests. */
    requestClass: symbolNamed(server, 'IncomingMessage'),
    /** On a server: the class of its responses. */
    responseClass: symbolNamed(server, 'ServerResponse'),
    /** On a server and a response: header names whose values are joined. */
    uniqueHeaders: symbolNamed(server, 'kUniqueHeaders'),
    /** On a response: whether `write` returned false and 'drain' is owed. */
    needDrain: symbolNamed(response, 'kNeedDrain'),
    /** On a request: forgets the socket that its `signal` watches. */
    detachAbortSignal: symbolNamed(IncomingMessage.prototype, 'kDetachAbortSignal'),
  }
}

/** The symbol of this description on an object; undefined in a version of Node that does without it. */
function symbolNamed(owner: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(owner).find((symbol) => symbol.description === description)
}

/**
 * Reads a member that has a symbol for a name.
 *
 * @param symbol undefined reads as undefined
 */
export function getInternal(owner: object, symbol: symbol | undefined): unknown {
  return symbol === undefined ? undefined : (owner as Record<symbol, unknown>)[symbol]
}

/** Writes a member that has a symbol for a name; nothing for an undefined symbol. */
export function setInternal(owner: object, symbol: symbol | undefined, value: unknown): void {
  if (symbol !== undefined) (owner as Record<symbol, unknown>)[symbol] = value
}
