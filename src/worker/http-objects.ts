/**
 * Makes the request and response objects of one exchange, as Node's http.Server makes them from what its parser says
 * (`parserOnHeadersComplete`, `parserOnIncoming`): of the classes that the server was created with.
 */
import type { Server } from 'node:http'
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RequestHead } from '../protocol/frames.ts'
import type { RequestClass, RequestInternals, ResponseClass, ResponseInternals } from './node-internals.ts'
import { getInternal, internalSymbols, setInternal } from './node-internals.ts'
import type { SiteSocket } from './site-socket.ts'

/** A request and its socket that were made before their exchange. */
export interface MadeObjects {
  readonly request: RequestInternals
  readonly socket: SiteSocket
}

type ServerOptions = Server & { joinDuplicateHeaders?: boolean; rejectNonStandardBodyWrites?: boolean }

const REJECTING = { rejectNonStandardBodyWrites: true }

/** A request whose headers are made from `rawHeaders` when they are asked for. */
export function createRequest(server: Server, socket: SiteSocket, head: RequestHead): RequestInternals {
  // An http2 server has no such class.
  const Request = (getInternal(server, internalSymbols.requestClass) ?? IncomingMessage) as RequestClass
  // Node declares net.Socket here and uses what any Duplex with SiteSocket's members has.
  const request = new Request(socket as unknown as Socket) as RequestInternals
  request.httpVersionMajor = 1
  request.httpVersionMinor = head.httpMinor
  request.httpVersion = head.httpMinor === 1 ? '1.1' : `1.${head.httpMinor}`
  request.joinDuplicateHeaders = (server as ServerOptions).joinDuplicateHeaders === true
  request.url = head.url
  request.method = head.method
  request.upgrade = false
  request._addHeaderLines(head.headers, headerTexts(server, head.headers))
  return request
}

/** How many of them count: `parserOnHeadersComplete` of Node's http leaves out what is over `maxHeadersCount`. */
function headerTexts({ maxHeadersCount }: Server, headers: readonly string[]): number {
  return maxHeadersCount ? Math.min(headers.length, maxHeadersCount * 2) : headers.length
}

export function createResponse(server: Server, request: RequestInternals, head: RequestHead): ResponseInternals {
  const Response = (getInternal(server, internalSymbols.responseClass) ?? ServerResponse) as ResponseClass
  const isRejecting = (server as ServerOptions).rejectNonStandardBodyWrites === true
  const response = (isRejecting ? new Response(request, REJECTING) : new Response(request)) as ResponseInternals
  response.shouldKeepAlive = head.keepAlive
  setInternal(response, internalSymbols.uniqueHeaders, getInternal(server, internalSymbols.uniqueHeaders))
  return response
}
