/**
 * What stands behind a site that other programs answer for: the upstreams of `kind = proxy`, the program of
 * `kind = command`, and what [proxy] says of the connections to either.
 *
 * Limit: an upstream is plain HTTP/1.1 on TCP or on a unix socket. Invariant: a site has a backend exactly where its kind
 * is one of those two.
 */
import { dirname, resolve } from 'node:path'
import { MAX_SOCKET_PATH_BYTES } from '../core/socket-path.ts'
import type { CommandLine } from './command-line.ts'
import { commandLine } from './command-line.ts'
import { duration, size } from './measures.ts'
import { quote } from './problems.ts'
import { optional, section, setting } from './settings.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem } from './site-reading.ts'
import type { SiteConfig, SiteFile } from './site-schema.ts'
import type { Read } from './units.ts'
import { integer, listType } from './units.ts'

/** Where a program listens for HTTP. */
export type Upstream = { kind: 'tcp'; host: string; port: number } | { kind: 'unix'; path: string }

/** [proxy], ready for use. */
export interface ProxySettings {
  connectTimeoutMs: number
  /** Longest pause in an answer that has begun. */
  readTimeoutMs: number
  /** How long a connection is kept for the next request. */
  keepaliveMs: number
  /** Most requests at a time, each on a connection of its own, to one upstream. */
  connections: number
  /** Longest time that an upstream which failed is passed over. */
  restMs: number
  /** Most tunnels (WebSocket and the like) at a time to one upstream. */
  tunnels: number
  tunnelIdleMs: number
  /** Of a body before an upstream gets the request, and of an answer before its client takes it. */
  bufferBytes: number
}

/** What answers for a site of `kind = proxy` or `command`. */
export interface SiteBackend {
  /** Paths absolute. Empty where there is a command. */
  upstreams: Upstream[]
  command: CommandLine | undefined
  proxy: ProxySettings
}

const DEFAULT_PORT = 80

function readUpstream(found: string): Read<Upstream> {
  if (found.startsWith('unix:')) {
    const path = found.slice('unix:'.length)
    return path === ''
      ? { problem: 'unix: has to be followed by the path of a socket' }
      : { value: { kind: 'unix', path } }
  }
  if (found.startsWith('https:')) {
    return { problem: `${quote(found)}: only plain HTTP is spoken to upstreams: write http://…, or unix:…` }
  }
  const parts = /^http:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(\d{1,5}))?\/?$/.exec(found)
  if (parts === null) {
    return { problem: `${quote(found)} is not an upstream: write http://HOST:PORT without a path, or unix:/PATH` }
  }
  const port = Number(parts[3] ?? DEFAULT_PORT)
  if (port < 1 || port > 65535) return { problem: `${quote(found)}: ${port} is not a port, 1 to 65535` }
  return { value: { kind: 'tcp', host: (parts[1] as string).replace(/^\[|\]$/g, ''), port } }
}

/** As it would be written in an INI file. */
export function formatUpstream(upstream: Upstream): string {
  if (upstream.kind === 'unix') return `unix:${upstream.path}`
  return `http://${upstream.host.includes(':') ? `[${upstream.host}]` : upstream.host}:${upstream.port}`
}

/** Keys of [site]. */
export const backendKeys = {
  upstream: optional(
    listType('list of upstreams', readUpstream, formatUpstream),
    'For `kind = proxy`: where other servers answer for the site, `http://127.0.0.1:8000` or `unix:/run/app.sock`. Of ' +
      'several, the least busy one gets the next request. A relative path starts at the folder of this file.',
  ),
  command: optional(
    commandLine,
    'For `kind = command`: a program that serves HTTP, started in `root`. It is split at blanks and quotes as a shell does, ' +
      'but no shell runs. `$SOCKET` stands for the path of a unix socket, `$PORT` for a port of 127.0.0.1, on which it has to ' +
      'listen; both are in its environment too, and where neither is written it has to take `PORT` from there.',
  ),
}

/** [proxy]. */
export const proxySection = section('For `kind = proxy` and `kind = command`: the connections to what answers.', {
  connect_timeout: setting(
    duration(1),
    '5s',
    'Time in which a connection must be there; then another upstream is tried.',
  ),
  read_timeout: setting(duration(1), '60s', 'Longest pause in an answer that has begun; then it is cut.'),
  keepalive: setting(duration(1), '4s', 'How long an unused connection is kept for the next request.'),
  connections: setting(
    integer(1, 100_000),
    '256',
    'Requests that one upstream gets at a time; more wait as `[limits] queue` and `queue_timeout` say.',
  ),
  rest: setting(
    duration(0),
    '30s',
    'An upstream that fails is passed over while others answer: for 1 s, then twice as long each further time, at most so ' +
      'long.',
  ),
  tunnels: setting(integer(0, 100_000), '1000', 'WebSockets and other tunnels that one upstream gets at a time.'),
  tunnel_idle: setting(duration(1), '10m', 'A tunnel in which nothing moves for so long is closed.'),
  buffer: setting(
    size,
    '1MB',
    'How much of the body of a request is collected before an upstream gets the request, and how much of an answer is taken ' +
      'from the upstream before the client takes it: so a slow client does not keep an upstream. `0B`: all goes through as it comes.',
  ),
})

/** The key that each kind needs. */
const KEY_OF = {
  module: 'module',
  static: undefined,
  redirect: undefined,
  proxy: 'upstream',
  command: 'command',
} as const

/** Keys about a module's code, beside those that site-residency.ts looks at. */
const OF_MODULES = ['args', 'type', 'http_port', 'watch']

/** The kind, as said or told from the keys: those that stand in the site's own file count first. */
export function kindOf({ checked, document }: SiteBeingRead): SiteConfig['kind'] {
  const { kind, module } = checked.value.site
  if (kind !== undefined) return kind
  const written = document.sections.get('site')?.keys
  if (written?.has('module')) return 'module'
  if (written?.has('command')) return 'command'
  if (written?.has('upstream')) return 'proxy'
  if (document.sections.get('redirect')?.keys.has('to')) return 'redirect'
  return module === undefined ? 'static' : 'module'
}

/** Checks `upstream` and `command`; problems are added to the site's. */
export function checkBackend(site: SiteBeingRead, kind: SiteConfig['kind']): SiteBackend | undefined {
  const written = site.document.sections.get('site')?.keys
  const isOther = kind === 'proxy' || kind === 'command'
  for (const key of isOther ? (['module', 'upstream', 'command'] as const) : (['upstream', 'command'] as const)) {
    if (key === KEY_OF[kind] || !written?.has(key)) continue
    addProblem(site, 'site', key, `has no use with kind = ${kind}: take one of the two away`)
  }
  if (!isOther) return undefined
  for (const key of OF_MODULES) {
    if (written?.has(key)) addProblem(site, 'site', key, `has no use with kind = ${kind}: take the line away`)
  }
  const { upstream = [], command } = site.checked.value.site
  if (kind === 'proxy' && upstream.length === 0 && !site.checked.isBad('site', 'upstream')) {
    const cure = 'kind = proxy needs to know who answers (such as upstream = http://127.0.0.1:8000)'
    addProblem(site, 'site', 'upstream', `${written?.has('upstream') ? 'is empty' : 'is missing'}: ${cure}`)
  }
  if (kind === 'command' && command === undefined && !written?.has('command')) {
    const cure = 'kind = command needs the program to run (such as command = gunicorn -b unix:$SOCKET app:application)'
    addProblem(site, 'site', 'command', `is missing: ${cure}`)
  }
  const upstreams = kind === 'proxy' ? absolute(site, upstream) : []
  return {
    upstreams,
    command: kind === 'command' ? command : undefined,
    proxy: proxySettings(site.checked.value.proxy),
  }
}

function absolute(site: SiteBeingRead, upstreams: readonly Upstream[]): Upstream[] {
  const seen = new Set<string>()
  return upstreams.map((upstream) => {
    const whole =
      upstream.kind === 'tcp' ? upstream : { ...upstream, path: resolve(dirname(site.realFile), upstream.path) }
    const text = formatUpstream(whole)
    if (seen.has(text)) addProblem(site, 'site', 'upstream', `${text} is there twice`)
    seen.add(text)
    if (whole.kind === 'unix' && Buffer.byteLength(whole.path) > MAX_SOCKET_PATH_BYTES) {
      const fault = `the path has ${Buffer.byteLength(whole.path)} bytes, a unix socket may have ${MAX_SOCKET_PATH_BYTES}`
      addProblem(site, 'site', 'upstream', `${quote(whole.path)}: ${fault}`)
    }
    return whole
  })
}

function proxySettings(proxy: SiteFile['proxy']): ProxySettings {
  return {
    connectTimeoutMs: proxy.connect_timeout,
    readTimeoutMs: proxy.read_timeout,
    keepaliveMs: proxy.keepalive,
    connections: proxy.connections,
    restMs: proxy.rest,
    tunnels: proxy.tunnels,
    tunnelIdleMs: proxy.tunnel_idle,
    bufferBytes: proxy.buffer,
  }
}
