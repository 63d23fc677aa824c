/**
 * The addresses of `[server] listen`.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { quote } from './problems.ts'
import type { Read } from './units.ts'
import { pathFault } from './units.ts'

/**
 * Where the front accepts connections. Host `::` stands for all interfaces, IPv4 and IPv6. A unix path is as written;
 * relative ones start at the folder of vhostel.ini.
 */
export type ListenAddress = TcpAddress | { kind: 'unix'; path: string }

interface TcpAddress {
  kind: 'tcp'
  host: string
  port: number
  /** All interfaces of IPv6 alone, because those of IPv4 are named as well. */
  isIpv6Only?: boolean
}

/** The host of all interfaces, IPv4 and IPv6. */
export const ALL_INTERFACES = '::'
/** All interfaces where there is no IPv6. */
export const ALL_OF_IPV4 = '0.0.0.0'

const EXAMPLES = '(such as 127.0.0.1:8080, [::1]:8080, *:80, 8080 or unix:run/web.sock)'

/** Reads one address. Port 0 is a free port, which the system chooses. */
export function readListenAddress(found: string): Read<ListenAddress> {
  if (found.startsWith('unix:')) {
    const path = found.slice('unix:'.length)
    const wrong = path === '' ? 'the path is missing' : pathFault(path)
    return wrong === undefined ? { value: { kind: 'unix', path } } : fault(found, wrong)
  }
  const cure = listenCure(found)
  if (cure !== undefined) return { problem: `${quote(found)} is not an address to listen on: ${cure}` }
  const parts = /^(?:(.*):)?(\d{1,5})$/.exec(found)
  if (parts === null) return fault(found, isIPv6(found) ? `write [${found}]:8080` : 'the port is missing')
  const port = Number(parts[2])
  if (port > 65535) return fault(found, `port ${port} is more than 65535`)
  const host = readHost(parts[1] ?? '*')
  if (host !== undefined) return { value: { kind: 'tcp', host, port } }
  const bare = parts[1] ?? ''
  if (isIPv6(bare) || isIPv6(found)) return fault(found, 'an IPv6 address is written in brackets')
  return fault(found, `${quote(bare)} is neither an IP address nor a host name`)
}

/** Words that stand behind an address in nginx, and what they are here. */
const WORDS: readonly [word: RegExp, cure: string][] = [
  [/^(?:ssl|http2|quic|spdy|tls)$/, 'addresses for HTTPS, with HTTP/2, are those of listen_tls'],
  [/^default(?:_server)?$/, 'the site for all other hosts is named by default_site'],
  [/^proxy_protocol$/, 'write proxy_protocol = yes, with trusted_proxies'],
  [/^(?:ipv6only|so_keepalive|deferred|reuseport|bind|backlog|rcvbuf|sndbuf|fastopen|setfib)(?:=|$)/, 'leave it out'],
]

/** What to write instead: people come with what other servers take. */
function listenCure(found: string): string | undefined {
  if (found.startsWith('/')) return `write unix:${found} for a socket`
  if (/^:\d{1,5}$/.test(found)) return `write ${found.slice(1)} for all interfaces`
  return WORDS.find(([word]) => word.test(found))?.[1]
}

/** As it would be written in an INI file. */
export function formatListenAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** Addresses that can be bound together: `[::]` is for IPv6 alone beside `0.0.0.0`, as nginx has it. */
export function boundTogether(addresses: readonly ListenAddress[], all: readonly ListenAddress[]): ListenAddress[] {
  return addresses.map((address) =>
    address.kind === 'tcp' &&
    isAllOfIpv6(address.host) &&
    all.some((other) => isOn(other, address) && other.host === ALL_OF_IPV4)
      ? { ...address, isIpv6Only: true }
      : address,
  )
}

/** Of all addresses, the one of all interfaces that an address is part of, so that it cannot be bound. */
export function coveredBy(address: ListenAddress, all: readonly ListenAddress[]): ListenAddress | undefined {
  if (address.kind === 'unix' || isAllOfIpv6(address.host) || address.host === ALL_OF_IPV4) return undefined
  const others = all.filter((other) => isOn(other, address))
  const ofIpv4 = others.find((other) => other.host === ALL_OF_IPV4)
  const ofIpv6 = others.find(({ host }) => isAllOfIpv6(host))
  if (isIPv6(address.host)) return ofIpv6
  // What a name leads to is not known here.
  return isIPv4(address.host) ? (ofIpv4 ?? ofIpv6) : ofIpv6
}

function isOn(other: ListenAddress, { port }: TcpAddress): other is TcpAddress {
  return other.kind === 'tcp' && other.port === port && port !== 0
}

function isAllOfIpv6(host: string): boolean {
  return isIPv6(host) && /^[0:]+$/.test(host)
}

function fault(found: string, reason: string): Read<ListenAddress> {
  return { problem: `${quote(found)} is not an address to listen on: ${reason} ${EXAMPLES}` }
}

function readHost(host: string): string | undefined {
  if (host === '*') return ALL_INTERFACES
  if (host.startsWith('[') && host.endsWith(']')) {
    const address = host.slice(1, -1)
    return isIPv6(address) ? address : undefined
  }
  if (isIPv4(host)) return host
  // Digits and dots that are no IPv4 address would go to the resolver, which takes 1.2.3 for 1.2.0.3.
  if (/^[\d.]*$/.test(host)) return undefined
  return /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host) ? host : undefined
}
