/**
 * `node:http` for the processes that run no site's code, without undici: an ES import of it reads every export, and some
 * of those are getters that load undici, which takes 4 to 7 MB (PSS, Node 24.21). In threads nothing is gained: to put
 * the light classes in the place of the global `Request`, it has to be loaded (worker/fetch-classes.ts).
 */
import type * as Http from 'node:http'

const http = process.getBuiltinModule('node:http')

/** As in `node:http`. */
export const { METHODS, STATUS_CODES, createServer, request, validateHeaderName, validateHeaderValue } = http

/** As in `node:http`. */
export const IncomingMessage = http.IncomingMessage
export type IncomingMessage = Http.IncomingMessage

/** As in `node:http`. */
export const ServerResponse = http.ServerResponse
export type ServerResponse = Http.ServerResponse

/** What `IncomingMessage` has beside what is declared. */
interface WithLines {
  _addHeaderLines(rawHeaders: string[], count: number): void
}

/**
 * Gives a request that no parser made its headers, so that they are found under all names that Node has for them.
 *
 * @param message not complete yet: after that these would be its trailers
 * @param rawHeaders name, value, name, value, …
 */
export function giveHeaders(message: IncomingMessage, rawHeaders: string[]): void {
  ;(message as unknown as WithLines)._addHeaderLines(rawHeaders, rawHeaders.length)
}

/** What `ServerResponse` has beside what is declared. */
interface WithSend {
  _send(data: string, encoding: BufferEncoding): boolean
}

/**
 * Sends a head that was written, ahead of any body, in latin1 as with a body. Node's own `flushHeaders` sends it as UTF-8,
 * which makes two letters of each byte above 127 that somebody else's head brought.
 */
export function flushHead(response: ServerResponse): void {
  ;(response as unknown as WithSend)._send('', 'latin1')
}
