/**
 * What a call of `server.listen(…)` asks for, in each of the ways Node takes it. Pure.
 */
import type { AddressInfo } from 'node:net'

export interface ListenWish {
  /** As said; 0 for any; undefined when a path or a handle is meant. */
  port: number | undefined
  host: string | undefined
  path: string | undefined
  signal: AbortSignal | undefined
  callback: (() => void) | undefined
}

/** @param args as `net.Server.prototype.listen` gets them */
export function parseListen(args: readonly unknown[]): ListenWish {
  const last = args.findLast((arg) => typeof arg === 'function')
  const callback = last as (() => void) | undefined
  const none = { port: undefined, host: undefined, path: undefined, signal: undefined, callback }
  const [first, second] = args
  if (typeof first === 'object' && first !== null) return { ...none, ...parseOptions(first as Record<string, unknown>) }
  if (typeof first === 'string' && toPort(first) === undefined) return { ...none, path: first }
  return { ...none, port: toPort(first) ?? 0, host: typeof second === 'string' ? second : undefined }
}

function parseOptions(options: Record<string, unknown>): Partial<ListenWish> {
  const { port, host, path, signal } = options
  const known = { signal: signal instanceof AbortSignal ? signal : undefined }
  if (port === undefined && typeof path === 'string') return { ...known, path }
  if ('fd' in options || 'handle' in options || '_handle' in options) return known
  return { ...known, port: toPort(port) ?? 0, host: typeof host === 'string' ? host : undefined }
}

/** Node takes numbers, and strings that are numbers. */
function toPort(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  return typeof value === 'string' && value.trim() !== '' && Number.isInteger(Number(value)) ? Number(value) : undefined
}

/** What `server.address()` answers for a wish that was granted. @param port stands in for port 0 */
export function addressOf(wish: ListenWish, port: number): AddressInfo | string {
  if (wish.path !== undefined) return wish.path
  const host = hostOf(wish)
  return { address: host, family: host.includes(':') ? 'IPv6' : 'IPv4', port }
}

/** Whether two servers could not both be bound: on Linux, `::` takes the port on every address. */
export function isSamePlace(one: ListenWish, other: ListenWish): boolean {
  if (one.path !== undefined || other.path !== undefined) return one.path === other.path
  if (!one.port || one.port !== other.port) return false
  const [a, b] = [hostOf(one), hostOf(other)]
  return a === b || isWildcard(a) || isWildcard(b)
}

function hostOf({ host }: ListenWish): string {
  return host === 'localhost' ? '127.0.0.1' : host || '::'
}

function isWildcard(host: string): boolean {
  return host === '::' || host === '0.0.0.0'
}

/** For messages: `port 3000`, `127.0.0.1:3000` or a path. */
export function describeWish(wish: ListenWish): string {
  if (wish.path !== undefined) return wish.path
  if (wish.port === undefined) return 'a handle'
  return wish.host === undefined ? `port ${wish.port}` : `${wish.host}:${wish.port}`
}
