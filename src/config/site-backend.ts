/**
 * What stands behind a site that other programs answer for: the upstreams of `kind = proxy`, the program of
 * `kind = command`, and what [proxy] says of the connections to either.
 *
 * Limit: an upstream speaks HTTP/1.1, on TCP with or without TLS, or on a unix socket. Invariant: a site has a backend exactly where its kind
 * is one of those two.
 */
import { MAX_SOCKET_PATH_BYTES } from '../core/socket-path.ts'
import type { CommandLine } from './command-line.ts'
import { commandLine } from './command-line.ts'
import { duration, size } from './measures.ts'
import { isPathPrefix, prefixFault } from './path-prefix.ts'
import { quote } from './problems.ts'
import { optional, optionalList, section, setting } from './settings.ts'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, isMeant, isWritten, pathOf } from './site-reading.ts'
import type { SiteConfig, SiteFile } from './site-schema.ts'
import type { Read } from './units.ts'
import { choice, flag, integer, listType, pathFault } from './units.ts'
import type { UpstreamTls } from './upstream-tls.ts'
import { readUpstreamTls, upstreamTlsKeys } from './upstream-tls.ts'

/** Where a program listens for HTTP. */
export type Upstream = { kind: 'tcp'; host: string; port: number; isTls: boolean } | { kind: 'unix'; path: string }

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
  /** Whose host stands in `Host`: the one that the visitor asked for, or the upstream's own. */
  hostHeader: (typeof HOSTS)[number]
  /** Beginnings of the paths that go there, without a slash at the end; empty for all. All else is files. */
  paths: string[]
  /** Whether that beginning is taken off. */
  stripsPath: boolean
  /** Of the upstreams that are spoken to over TLS. */
  tls: UpstreamTls
}

/** What answers for a site of `kind = proxy` or `command`. */
export interface SiteBackend {
  /** Paths absolute. Empty where there is a command. */
  upstreams: Upstream[]
  command: CommandLine | undefined
  proxy: ProxySettings
}

const DEFAULT_PORTS = { http: 80, https: 443 } as const
/** Whose host an upstream gets in `Host`. */
const HOSTS = ['visitor', 'upstream'] as const

function readUpstream(found: string): Read<Upstream> {
  if (found.startsWith('unix:')) {
    const path = found.slice('unix:'.length)
    const fault = path === '' ? 'unix: has to be followed by the path of a socket' : socketFault(path)
    return fault === undefined ? { value: { kind: 'unix', path } } : { problem: fault }
  }
  const parts = /^(https?):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(\d{1,5}))?\/?$/.exec(
    found,
  )
  if (parts === null) return { problem: `${quote(found)} is not an upstream: ${upstreamCure(found)}` }
  const scheme = parts[1] as 'http' | 'https'
  const port = Number(parts[4] ?? DEFAULT_PORTS[scheme])
  if (port < 1 || port > 65535) return { problem: `${quote(found)}: ${port} is not a port, 1 to 65535` }
  return { value: { kind: 'tcp', host: hostOf(parts[2] as string), port, isTls: scheme === 'https' } }
}

/** Why a path is not that of a socket. nginx has the path of a URL behind it: `unix:/run/app.sock:/api`. */
function socketFault(path: string): string | undefined {
  const [, bare] = /^([^:]+):(?:\/.*)?$/.exec(path) ?? []
  return bare === undefined ? pathFault(path) : `unix:${path}: no path goes with an upstream: write unix:${bare}`
}

/** What to write instead: people come with what other servers take. */
function upstreamCure(found: string): string {
  if (/^(fastcgi|fcgi|uwsgi|scgi|ajp|grpcs?|h2c):/.test(found)) return 'only HTTP/1.1 is spoken to upstreams'
  if (/^(weight|max_fails|fail_timeout|max_conns)=|^(backup|down)$/.test(found)) {
    return 'of several upstreams, the least busy one gets the next request, and those that fail are passed over'
  }
  const [, socket] = /^https?:\/\/(unix:\/[^:]+)(?::.*)?$/.exec(found) ?? []
  if (socket !== undefined) return `write ${socket}`
  if (/^[\w.-]+:\d{1,5}$/.test(found)) return `write http://${found}`
  if (/^:?\d{1,5}$/.test(found)) return `write http://127.0.0.1:${found.replace(':', '')}`
  return 'write http://HOST:PORT or https://HOST:PORT without a path, or unix:/PATH'
}

function hostOf(written: string): string {
  return written.replace(/^\[|\]$/g, '')
}

/** As it would be written in an INI file. */
export function formatUpstream(upstream: Upstream): string {
  if (upstream.kind === 'unix') return `unix:${upstream.path}`
  return `${upstream.isTls ? 'https' : 'http'}://${authorityOf(upstream)}`
}

/** Host and port of an upstream on TCP, as they stand in a URL. */
export function authorityOf({ host, port }: { host: string; port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

function readPath(found: string): Read<string> {
  const path = found.replace(/\/$/, '')
  if (isPathPrefix(path) && path !== '') return { value: path }
  return { problem: prefixFault(found, '/api') }
}

/** Keys of [site]. */
export const backendKeys = {
  upstream: optional(
    listType('list of upstreams', readUpstream, formatUpstream),
    'Servers to pass requests on to: `http://127.0.0.1:8000`, `https://backend.example` or ' +
      '`unix:/run/app.sock`. Of several, the least busy one gets the next request. A relative path starts at ' +
      'the folder of this file.',
  ),
  command: optional(
    commandLine,
    'Program that serves HTTP, started in `root`. The line is split at blanks and quotes as in a shell, but ' +
      'no shell runs. The program has to listen on the unix socket `$SOCKET` or on port `$PORT` of 127.0.0.1; ' +
      'if the line has neither, on the port in the environment variable `PORT`. See [Other servers and ' +
      'programs](proxy.md#a-program-kind--command).',
  ),
}

/** [proxy]. */
export const proxySection = section(
  'Connections to upstreams and programs (`kind = proxy`, `kind = command`). See [Other servers and ' +
    'programs](proxy.md).',
  {
    connect_timeout: setting(duration(1), '5s', 'Time to connect to an upstream. Then the next one is tried.'),
    read_timeout: setting(duration(1), '60s', 'Longest pause within an answer. Then the answer is cut.'),
    keepalive: setting(duration(1), '4s', 'How long an idle connection to an upstream is kept for the next request.'),
    connections: setting(
      integer(1, 100_000),
      '256',
      'Requests that one upstream gets at a time. Further ones wait, as `[limits] queue` and `queue_timeout` say.',
    ),
    rest: setting(
      duration(0),
      '30s',
      'Longest time for which a failed upstream is passed over while others answer. It starts at 1 s and ' +
        'doubles with each failure.',
    ),
    tunnels: setting(integer(0, 100_000), '1000', 'WebSockets and other tunnels to one upstream at a time.'),
    tunnel_idle: setting(duration(1), '10m', 'A tunnel without traffic is closed after this time.'),
    buffer: setting(
      size,
      '1MB',
      'How much of a request body is collected before the upstream gets the request, and how much of an answer ' +
        'is taken from the upstream ahead of the client. It keeps slow clients away from the upstream. `0B`: ' +
        'everything is passed on as it comes.',
    ),
    host_header: setting(
      choice(HOSTS),
      'visitor',
      "What an upstream gets as `Host`: `visitor` is the visitor's host, `upstream` the upstream's own, for " +
        "servers that know no other. `X-Forwarded-Host` has the visitor's host in both cases.",
    ),
    paths: optionalList(
      listType('list of paths', readPath, String),
      'Paths that go to the upstream or the program, with everything below them: `/api, /socket.io`. All others ' +
        'are answered with the files of `[static] / = FOLDER`. By default every path goes to the upstream.',
    ),
    strip_path: setting(
      flag,
      'no',
      'Whether to remove the part that `paths` names: the upstream gets `/users` for `/api/users`, and `/api` in ' +
        '`X-Forwarded-Prefix`.',
    ),
    ...upstreamTlsKeys,
  },
)

/** The key that each kind needs. */
export const KEY_OF = {
  module: 'module',
  static: undefined,
  redirect: undefined,
  proxy: 'upstream',
  command: 'command',
} as const

/** The kind, as said or told from the keys: those that stand in the site's own file count first. */
export function kindOf(site: SiteBeingRead): SiteConfig['kind'] {
  const { kind, module } = site.checked.value.site
  if (kind !== undefined) return kind
  if (isMeant(site, 'site', 'module')) return 'module'
  if (isMeant(site, 'site', 'command')) return 'command'
  if (isMeant(site, 'site', 'upstream')) return 'proxy'
  if (isMeant(site, 'redirect', 'to')) return 'redirect'
  return module === undefined ? 'static' : 'module'
}

/** Checks `upstream` and `command`; problems are added to the site's. */
export function checkBackend(site: SiteBeingRead, kind: SiteConfig['kind']): SiteBackend | undefined {
  const isOther = kind === 'proxy' || kind === 'command'
  for (const key of isOther ? (['module', 'upstream', 'command'] as const) : (['upstream', 'command'] as const)) {
    if (key === KEY_OF[kind] || !isWritten(site, 'site', key)) continue
    addProblem(site, 'site', key, `has no use with kind = ${kind}: take one of the two away`)
  }
  if (!isOther) return undefined
  const { upstream = [], command } = site.checked.value.site
  checkAnswerer(site, kind, upstream.length > 0, command !== undefined)
  const upstreams = kind === 'proxy' ? absolute(site, upstream) : []
  const { proxy } = site.checked.value
  if (proxy.paths.length === 0 && isWritten(site, 'proxy', 'strip_path') && !site.checked.isBad('proxy', 'paths')) {
    addProblem(site, 'proxy', 'strip_path', 'has no use without paths: name there what is to be taken off')
  }
  const hasTls = upstreams.some((one) => one.kind === 'tcp' && one.isTls)
  return {
    upstreams,
    command: kind === 'command' ? command : undefined,
    proxy: proxySettings(proxy, readUpstreamTls(site, hasTls)),
  }
}

/** Adds a problem where nobody is named who would answer. */
function checkAnswerer(
  site: SiteBeingRead,
  kind: 'proxy' | 'command',
  hasUpstream: boolean,
  hasCommand: boolean,
): void {
  if (kind === 'proxy' && !hasUpstream && !site.checked.isBad('site', 'upstream')) {
    const cure = 'kind = proxy needs to know who answers (such as upstream = http://127.0.0.1:8000)'
    addProblem(site, 'site', 'upstream', `${isWritten(site, 'site', 'upstream') ? 'is empty' : 'is missing'}: ${cure}`)
  }
  if (kind === 'command' && !hasCommand && !isMeant(site, 'site', 'command')) {
    const cure = 'kind = command needs the program to run (such as command = gunicorn -b unix:$SOCKET app:application)'
    addProblem(site, 'site', 'command', `is missing: ${cure}`)
  }
}

function absolute(site: SiteBeingRead, upstreams: readonly Upstream[]): Upstream[] {
  const seen = new Set<string>()
  return upstreams.map((upstream) => {
    const whole = upstream.kind === 'tcp' ? upstream : { ...upstream, path: pathOf(site, upstream.path) }
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

function proxySettings(proxy: SiteFile['proxy'], tls: UpstreamTls): ProxySettings {
  return {
    connectTimeoutMs: proxy.connect_timeout,
    readTimeoutMs: proxy.read_timeout,
    keepaliveMs: proxy.keepalive,
    connections: proxy.connections,
    restMs: proxy.rest,
    tunnels: proxy.tunnels,
    tunnelIdleMs: proxy.tunnel_idle,
    bufferBytes: proxy.buffer,
    hostHeader: proxy.host_header,
    paths: proxy.paths,
    stripsPath: proxy.strip_path,
    tls,
  }
}
