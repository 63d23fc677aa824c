/**
 * What vhostel.ini says of connections before any site is known: [server] keys for limits, timeouts and the proxies in
 * front.
 */
import { duration, sizeRange } from './measures.ts'
import type { Network } from './network.ts'
import { networks } from './network.ts'
import { optional, setting } from './settings.ts'
import { flag, integer } from './units.ts'

const KB = 1024

/** Keys of [server]. */
export const frontKeys = {
  trusted_proxies: optional(
    networks,
    'Proxies and load balancers in front, as networks (`10.0.0.0/8`, `127.0.0.1`, `unix` for a unix socket): of these, ' +
      '`X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` are believed. Of all others such headers are dropped; where ' +
      'the key is left out, only of those who are not on this machine.',
  ),
  proxy_protocol: setting(
    flag,
    'no',
    'Whether connections of `trusted_proxies` begin with a PROXY protocol header (version 1 or 2), which says whom they are ' +
      'for. Then each of them has to have one.',
  ),
  header_size: setting(
    sizeRange(1 * KB, 1024 * KB),
    '32KB',
    'Largest head of a request; larger ones are answered with 431. A target (path and query) may be a ' +
      'quarter of that, 8 KB at least; a longer one in a head that is not too large is answered with 414.',
  ),
  header_count: setting(integer(1, 1_999), '200', 'Most headers of a request; more are answered with 431.'),
  header_timeout: setting(
    duration(100),
    '30s',
    'Time in which the head of a request must have come, from its first byte, or from the connection; then 408.',
  ),
  idle_timeout: setting(duration(100), '65s', 'How long a connection is kept open for the next request.'),
  max_connections_per_address: setting(
    integer(0, 1_000_000),
    '1000',
    'Connections that one address (of IPv6: one /64 network) may have open; more are closed at once. 0: no limit. Those of ' +
      '`trusted_proxies` are not counted, unless a PROXY protocol header says whom they are for; nor are unix sockets.',
  ),
}

/** What is decided about a connection before its site is known. Plain data. */
export interface FrontSettings {
  /** Undefined where the key is left out. */
  trustedProxies: Network[] | undefined
  proxyProtocol: boolean
  headerBytes: number
  headerCount: number
  headerTimeoutMs: number
  idleTimeoutMs: number
  /** 0: no limit. */
  connectionsPerAddress: number
}

/** As the keys were checked. */
interface FrontKeys {
  trusted_proxies?: Network[] | undefined
  proxy_protocol: boolean
  header_size: number
  header_count: number
  header_timeout: number
  idle_timeout: number
  max_connections_per_address: number
}

/** The keys of [server], ready for use. */
export function frontSettings(keys: FrontKeys): FrontSettings {
  return {
    trustedProxies: keys.trusted_proxies,
    proxyProtocol: keys.proxy_protocol,
    headerBytes: keys.header_size,
    headerCount: keys.header_count,
    headerTimeoutMs: keys.header_timeout,
    idleTimeoutMs: keys.idle_timeout,
    connectionsPerAddress: keys.max_connections_per_address,
  }
}

/** What does not go together. */
export function frontFault({ proxyProtocol, trustedProxies = [] }: FrontSettings): string | undefined {
  if (!proxyProtocol || trustedProxies.length > 0) return undefined
  return 'is of no use without trusted_proxies: name the balancers that send it (such as trusted_proxies = 10.0.0.0/8)'
}
