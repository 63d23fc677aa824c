/**
 * What a call of `server.listen(…)` asks for, which places exclude each other, and which connections come to one, as the
 * kernel would say. Knows nothing but the addresses of this machine.
 *
 * Node itself takes the call's arguments apart and checks them; only a host that no port will be opened on is taken out
 * of them first. Invariant: a `listen` that fails in plain Node for its arguments fails with the same error here.
 */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/** Where a server listens: an address and a port, a path of a unix socket, or neither (a handle, a descriptor). */
export interface Place {
  readonly address: string | undefined
  readonly port: number | undefined
  readonly path: string | undefined
  /** `ipv6Only`: `::` without the addresses of IPv4. */
  readonly isIpv6Only: boolean
  /** `reusePort`: others that ask for the same may have the port too. */
  readonly isShared: boolean
}

/** Where a socket wants to connect to, as `net.Socket.prototype.connect` is told. */
export interface Target {
  readonly host: string | undefined
  /** Text too, as Node takes it. */
  readonly port: number | string | undefined
  /** Of a unix socket: there is no port then. */
  readonly path: string | undefined
}

/** In place of a name that is not looked up. */
const ANY_IPV4 = '0.0.0.0'
const LOOPBACK = '127.0.0.1'
const LOOPBACK_IPV6 = '::1'

/**
 * The arguments of a `listen`, without a name to look up: none is needed where no port is opened, and a site that names
 * the machine it was written on starts all the same.
 *
 * @param args as `net.Server.prototype.listen` gets them
 */
export function withoutLookup(args: readonly unknown[]): unknown[] {
  const [first, second, ...rest] = args
  if (typeof first === 'object' && first !== null) {
    const { host, port } = first as { host?: unknown; port?: unknown }
    return isPort(port) && isName(host) ? [{ ...first, host: addressOfName(host) }, ...args.slice(1)] : [...args]
  }
  // `listen(path, 'text')` has no host.
  return isPort(first) && isName(second) ? [first, addressOfName(second), ...rest] : [...args]
}

function isName(host: unknown): host is string {
  return typeof host === 'string' && host !== '' && isIP(host) === 0
}

function addressOfName(host: string): string {
  return host.toLowerCase() === 'localhost' ? LOOPBACK : ANY_IPV4
}

/** `toNumber` of Node's net: a number, or a string that is one. */
function isPort(value: unknown): boolean {
  return (typeof value === 'number' || (typeof value === 'string' && value !== '')) && Number(value) >= 0
}

/** Whether two servers could not both be bound: on Linux, `::` takes the port on every address. */
export function isSamePlace(one: Place, other: Place): boolean {
  if (one.path !== undefined || other.path !== undefined) return one.path === other.path
  if (one.port === undefined || one.port !== other.port) return false
  if (one.isShared && other.isShared) return false
  return covers(one, other) || covers(other, one)
}

/** Whether the addresses of `one` include that of `other`. */
function covers(one: Place, other: Place): boolean {
  if (one.address === other.address) return true
  if (one.address === '::') return !one.isIpv6Only || isIP(other.address ?? '') === 6
  return one.address === ANY_IPV4 && isIP(other.address ?? '') === 4
}

/** Whether a connection from this machine itself to `target` comes to a server at `place`. */
export function reaches(target: Target, place: Place): boolean {
  if (target.path !== undefined || place.path !== undefined) return target.path === place.path
  if (place.port === undefined || Number(target.port) !== place.port) return false
  return ownAddresses(target.host).some((address) => covers(place, { ...place, address, isIpv6Only: false }))
}

/** The addresses of this machine that a host stands for; none for other machines. */
function ownAddresses(host = 'localhost'): string[] {
  const name = host.toLowerCase()
  if (name === 'localhost' || name.endsWith('.localhost')) return [LOOPBACK, LOOPBACK_IPV6]
  // Linux takes the unspecified address of a target for loopback.
  if (name === ANY_IPV4) return [LOOPBACK]
  if (name === '::') return [LOOPBACK_IPV6]
  return name.startsWith('127.') || name === LOOPBACK_IPV6 || isOfThisMachine(name) ? [name] : []
}

function isOfThisMachine(address: string): boolean {
  if (isIP(address) === 0) return false
  return Object.values(networkInterfaces()).some((found) => found?.some((it) => it.address === address))
}

/** For messages: `port 3000`, `127.0.0.1:3000` or a path. */
export function describePlace({ address, port, path }: Place): string {
  if (path !== undefined) return path
  if (port === undefined) return 'a handle'
  return address === '::' || address === undefined ? `port ${port}` : `${address}:${port}`
}
