/**
 * What vhostel.ini says of connections before any site is known: [server] keys for limits, timeouts and the proxies in
 * front.
 */
import type { z } from 'zod'
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
    'Proxies and load balancers in front of vhostel, as networks: `10.0.0.0/8`, `127.0.0.1`, `unix` (a unix ' +
      'socket). Their `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` are believed; those of everybody ' +
      'else are dropped. Not set: nobody is believed, and only programs on this machine may pass such headers ' +
      'on to sites. See [Behind a proxy](doors.md#behind-a-proxy).',
  ),
  proxy_protocol: setting(
    flag,
    'no',
    'Whether connections from `trusted_proxies` begin with a PROXY protocol header (version 1 or 2). With ' +
      '`yes`, each of them must have one.',
  ),
  header_size: setting(
    sizeRange(1 * KB, 1024 * KB),
    '32KB',
    'Largest head of a request; a larger one gets 431. The target (path and query) may take a quarter of it, ' +
      'but at least 8 KB; a longer one gets 414.',
  ),
  header_count: setting(integer(1, 1_999), '200', 'Most headers of a request; more get 431.'),
  header_timeout: setting(
    duration(100),
    '30s',
    'Time for the head of a request to arrive, counted from its first byte or from the connection. Then 408.',
  ),
  idle_timeout: setting(duration(100), '65s', 'How long an idle connection is kept open for the next request.'),
  max_connections_per_address: setting(
    integer(0, 1_000_000),
    '1000',
    'Connections that one address (for IPv6: one /64 network) may have open; more are closed at once. `0`: ' +
      'no limit. Not counted: unix sockets, and connections from `trusted_proxies` without a PROXY protocol ' +
      'header.',
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
type FrontKeys = z.output<z.ZodObject<typeof frontKeys>>

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
