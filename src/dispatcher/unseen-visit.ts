/**
 * A visit without a client: what the cache asks a site on its own account, to have a fresh answer at hand.
 *
 * Invariant: whoever answers cannot tell it from another; what is written to it is seen by its filters and goes nowhere.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { giveHeaders, IncomingMessage as Message } from '../core/node-http.ts'
import { clientOf } from './connection.ts'
import { FrontResponse } from './front-response.ts'
import { withoutFields } from './header-fields.ts'
import { StandInSocket } from './stand-in-socket.ts'
import type { Visit } from './visit.ts'

/** The same question once more, with other headers. It has no body. */
export function unseenVisit(visit: Visit, rawHeaders: string[]): Visit {
  const { req } = visit
  const socket = standIn(req)
  const again = new Message(socket)
  giveHeaders(again, rawHeaders)
  Object.assign(again, { method: 'GET', url: req.url, complete: true })
  again.httpVersion = req.httpVersion
  again.httpVersionMajor = req.httpVersionMajor
  again.httpVersionMinor = req.httpVersionMinor
  again.push(null)
  const res = new FrontResponse(again)
  res.server = visit.res.server
  res.assignSocket(socket)
  // As http.Server has it: the response closes once it is done with, or its connection is gone.
  res.on('finish', () => {
    res.detachSocket(socket)
    process.nextTick(() => res.emit('close'))
  })
  return { ...visit, req: again, res, upgrade: undefined, arrivedAt: performance.now() }
}

/**
 * Whoever the visitor is, by the word of trusted proxies too, is at the other end of it: it is nobody's connection, which
 * would be closed for what was answered here.
 */
function standIn(req: IncomingMessage): Socket {
  const { address: remoteAddress, port: remotePort, encrypted } = clientOf(req)
  const { localAddress, localPort } = req.socket
  return new StandInSocket({ remoteAddress, remotePort, localAddress, localPort }, encrypted) as unknown as Socket
}

/** What a request asks for only if it is not known already. */
export interface Validators {
  etag?: string | undefined
  lastModified?: string | undefined
}

const CONDITIONS = ['if-none-match', 'if-modified-since', 'range', 'if-range']

/** Headers of a request with these conditions in the place of its own. */
export function conditionalHeaders(rawHeaders: readonly string[], { etag, lastModified }: Validators): string[] {
  const headers = withoutFields(rawHeaders, (name) => CONDITIONS.includes(name))
  if (etag !== undefined) headers.push('If-None-Match', etag)
  if (lastModified !== undefined) headers.push('If-Modified-Since', lastModified)
  return headers
}

/** A request as the site is to see it, with these conditions in the place of its own; none where nothing is known. */
export function conditionalRequest(req: IncomingMessage, { etag, lastModified }: Validators = {}): IncomingMessage {
  const headers: IncomingMessage['headers'] = { ...req.headers }
  for (const name of CONDITIONS) delete headers[name]
  if (etag !== undefined) headers['if-none-match'] = etag
  if (lastModified !== undefined) headers['if-modified-since'] = lastModified
  const rawHeaders = conditionalHeaders(req.rawHeaders, { etag, lastModified })
  return Object.create(req, { rawHeaders: { value: rawHeaders }, headers: { value: headers } })
}
