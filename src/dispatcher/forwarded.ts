/**
 * What proxies in front say about the client: `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` (RFC 7239). Only those
 * are believed that the server's settings trust; of others the headers are dropped, so that no site believes them either.
 *
 * Where a request has both kinds, `X-Forwarded-For` counts. The host is never taken from such a header.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import proxyAddr from 'proxy-addr'
import type { AddressSet } from '../config/network.ts'
import type { Client, ClientFinder } from './connection.ts'
import { withoutFields } from './header-fields.ts'

/** One proxy's word in a `Forwarded` header. */
interface Hop {
  for: string
  proto: string | undefined
}

/** More proxies than ever stand in a row; what is before them nobody vouches for. */
const MAX_HOPS = 100
/** A pair, or none, and what ends it. Blanks are matched in one place each, so that no header takes long. */
const PAIR = /[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))[ \t]*)?(;|$)/y

/** Makes what finds the client behind trusted proxies. */
export function clientFinder(trusted: AddressSet): ClientFinder {
  return (req, peer) => {
    const listed = text(req.headers['x-forwarded-for'])
    const hops =
      listed === undefined ? hopsOf(text(req.headers.forwarded)) : listed.split(',').slice(-MAX_HOPS).map(plainHop)
    const { at, address } = nearestStranger(hops, peer.address, trusted)
    const proto = listed === undefined ? hops[at]?.proto : text(req.headers['x-forwarded-proto'])?.split(',').at(-1)
    return {
      address,
      port: at === -1 ? peer.port : 0,
      encrypted: proto === undefined ? peer.encrypted : /^(?:https|wss)$/i.test(proto.trim()),
    } satisfies Client
  }
}

/** The address that the trusted proxies next to the server agree on, and whose word it is; -1: the other end itself. */
function nearestStranger(hops: readonly Hop[], peer: string, trusted: AddressSet): { at: number; address: string } {
  const request = {
    headers: { 'x-forwarded-for': hops.map((hop) => hop.for || 'unknown').join(',') },
    // Over a unix socket there is no address; that the other end is trusted is known.
    connection: { remoteAddress: peer },
    socket: { remoteAddress: peer },
  }
  if (hops.length === 0) return { at: -1, address: peer }
  const found = proxyAddr.all(
    request as unknown as IncomingMessage,
    (address, hop) => hop === 0 || trusted.has(address),
  )
  const hop = found.findLastIndex((address, index) => index === 0 || isIP(address) !== 0)
  return { at: hop === 0 ? -1 : hops.length - hop, address: found[hop] ?? peer }
}

/** RFC 7239 §4. */
function hopsOf(header: string | undefined): Hop[] {
  return elementsOf(header ?? '').map((element) => {
    const pairs = pairsOf(element)
    return { for: bareAddress(pairs.get('for') ?? ''), proto: pairs.get('proto') }
  })
}

/** The pairs of one element; none where any of it is not of that form, or a name is there twice. */
function pairsOf(element: string): Map<string, string> {
  const pairs = new Map<string, string>()
  PAIR.lastIndex = 0
  for (;;) {
    const found = PAIR.exec(element)
    if (found === null) return new Map()
    const [, name, quoted, plain = '', end] = found
    if (name !== undefined) {
      const key = name.toLowerCase()
      if (pairs.has(key)) return new Map()
      pairs.set(key, quoted?.replace(/\\(.)/g, '$1') ?? plain)
    }
    if (end === '') return pairs
  }
}

/**
 * The last elements, split at commas that stand in no quotes, in one pass. From the end: there stands what the nearest proxy
 * added, and a quote that a client left open before it must not swallow that.
 */
function elementsOf(header: string): string[] {
  const elements: string[] = []
  let end = header.length
  let isQuoted = false
  for (let at = end - 1; at >= 0 && elements.length < MAX_HOPS; at--) {
    const character = header[at]
    if (character === '"') isQuoted = !isQuoted || isEscaped(header, at)
    else if (character === ',' && !isQuoted) {
      elements.push(header.slice(at + 1, end))
      end = at
    }
  }
  if (elements.length < MAX_HOPS) elements.push(header.slice(0, end))
  return elements.reverse()
}

/** Whether an odd number of backslashes stands before a character. */
function isEscaped(header: string, at: number): boolean {
  let first = at
  while (header[first - 1] === '\\') first--
  return (at - first) % 2 === 1
}

function plainHop(written: string): Hop {
  return { for: bareAddress(written.trim()), proto: undefined }
}

/** Without port and brackets: `192.0.2.43:47011`, `[2001:db8::1]:4711`. */
function bareAddress(written: string): string {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(written)?.[1]
  return bracketed ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(written)?.[1] ?? written
}

function text(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value
}

const NAMES = /^(?:forwarded|x-forwarded-.*|x-real-ip)$/i
const LOWER_F = 102
const LOWER_X = 120

/** Takes from a request what its sender says about others, before anybody looks at it. */
export function dropForwarded(req: IncomingMessage): void {
  const { rawHeaders } = req
  if (!rawHeaders.some((name, at) => at % 2 === 0 && isForwarded(name))) return
  // Made of all the raw headers when it is first asked for: before those are fewer.
  const { headers } = req
  req.rawHeaders = withoutFields(rawHeaders, isForwarded)
  for (const name of Object.keys(headers)) if (isForwarded(name)) delete headers[name]
}

function isForwarded(name: string): boolean {
  const first = name.charCodeAt(0) | 0x20
  return (first === LOWER_F || first === LOWER_X) && NAMES.test(name)
}
