/** The sites of the soak: one of each kind, shape and setting that might matter, and what each may be asked for. Data. */
import type { Shape } from './site-code.ts'

export type Kind = 'module' | 'static' | 'proxy' | 'command' | 'redirect'

/** What a visitor asks for. */
export type Ask =
  | 'get'
  | 'wait'
  | 'big'
  | 'stream'
  | 'sse'
  | 'cached'
  | 'post'
  | 'echo'
  | 'socket'
  | 'pipeline'
  | 'file'
  | 'long'
  | 'hold'

export interface SoakSite {
  name: string
  kind: Kind
  shape: Shape
  /** Lines of `[site]`, beyond `domains`, `root`, `module`, `upstream` and `command`. */
  lines: string
  /** Further sections. */
  more: string
  asks: readonly Ask[]
  /** Of the servers behind it, what they do with connections that are kept; see site-code.ts. */
  keeps: '' | 'brief' | 'fickle'
  /** Names of the servers behind a site of `kind = proxy`. */
  upstreams: readonly string[]
  /** Has a certificate, and is asked by HTTP/2 as well. */
  isSecure: boolean
  /** Does harm when it is asked to: its own visitors may see any trouble. */
  isOffender: boolean
  /** May answer 429. */
  isRated: boolean
  /** Its code is loaded when it changes. */
  isWatched: boolean
}

const SHORT: readonly Ask[] = [
  'get',
  'get',
  'wait',
  'big',
  'stream',
  'sse',
  'post',
  'post',
  'echo',
  'pipeline',
  'cached',
]
const ALL: readonly Ask[] = [...SHORT, 'long']
const WITH_SOCKET: readonly Ask[] = [...ALL, 'socket', 'hold']
/** What may be sent to an upstream again. */
const AGAIN: readonly Ask[] = ['get', 'wait', 'big', 'stream', 'pipeline', 'cached']
const LIMITS = '[limits]\nslow = 300ms\nsoft_limit = 600ms\nhard_limit = 1500ms\nquarantine = 4s\ntimeout = 5s\n'
const SAVED = 'cache = on\n'

export const SITES: readonly SoakSite[] = [
  site('handler', { shape: 'handler', lines: 'watch = yes' }),
  site('listen', { shape: 'listen', lines: 'watch = yes', asks: WITH_SOCKET }),
  site('fastify', { shape: 'fastify', lines: 'watch = yes', isSecure: true }),
  site('fetch', { shape: 'fetch', lines: 'watch = yes' }),
  site('express', { shape: 'express', lines: '' }),
  site('koa', { shape: 'koa', lines: 'watch = yes\npool = shop' }),
  site('hono', { shape: 'hono', lines: 'pool = shop', isSecure: true }),
  site('commonjs', { shape: 'commonjs', lines: 'watch = yes\npool = turn' }),
  site('stored', { shape: 'fetch', lines: `watch = yes\n${SAVED}`, isSecure: true }),
  site('kept', { shape: 'handler', lines: `pool = shop\npreload = yes\n${SAVED}`, more: '[cache]\nkeep = no\n' }),
  site('alone', { shape: 'listen', lines: 'isolation = process\nwatch = yes', asks: WITH_SOCKET, isSecure: true }),
  site('apart', { shape: 'fastify', lines: 'isolation = process\nidle = 2s' }),
  site('drowsy', { shape: 'handler', lines: 'idle = 1s\nwatch = yes' }),
  site('worn', { shape: 'listen', lines: 'pool = turn', asks: WITH_SOCKET }),
  site('rated', { shape: 'fetch', lines: 'pool = turn', more: '[door]\nrate = 20/s burst 20\n', isRated: true }),
  site('mounted', { shape: 'handler', lines: '', more: '[static]\n/files = public\n', asks: [...ALL, 'file'] }),
  site('files', { kind: 'static', lines: SAVED, asks: ['file'], isSecure: true }),
  site('handed', { kind: 'proxy', upstreams: ['handed-1', 'handed-2'], asks: WITH_SOCKET, isSecure: true }),
  site('handed-stored', { kind: 'proxy', upstreams: ['stored-1'], lines: SAVED }),
  site('handed-brief', { kind: 'proxy', upstreams: ['brief-1'], keeps: 'brief', asks: AGAIN }),
  site('handed-fickle', { kind: 'proxy', upstreams: ['fickle-1'], keeps: 'fickle', asks: AGAIN }),
  site('program', { kind: 'command', shape: 'listen', lines: '', asks: WITH_SOCKET }),
  site('program-port', { kind: 'command', shape: 'listen', lines: 'idle = 2s' }),
  site('sent-on', { kind: 'redirect', lines: '', asks: ['get'] }),
  site('rogue', { shape: 'handler', lines: 'watch = yes', more: LIMITS, isOffender: true }),
  site('rogue-shop', { shape: 'listen', lines: 'pool = shop', more: LIMITS, isOffender: true }),
  site('rogue-alone', { shape: 'handler', lines: 'isolation = process', more: LIMITS, isOffender: true }),
  site('nomad', { shape: 'handler', lines: 'watch = yes', asks: SHORT }),
  site('nomad-alone', { shape: 'listen', lines: 'isolation = process', asks: SHORT }),
  site('nomad-files', { kind: 'static', asks: ['file'] }),
  site('nomad-handed', { kind: 'proxy', upstreams: ['nomad-1'], asks: SHORT }),
]

/** The pools: one that grows, one whose threads are replaced all the time. */
export const POOLS = `[pool]
processes = 2
threads = 1..2
[pool shop]
processes = 1
threads = 1..4
thread_memory = 128MB
[pool turn]
processes = 1..2
threads = 2
max_requests = 150
`

/** What answers at once, with the mark of the site. */
export function plainAsk({ kind }: SoakSite): Ask {
  return kind === 'static' ? 'file' : 'get'
}

function site(name: string, given: Partial<SoakSite>): SoakSite {
  const { lines = '' } = given
  return {
    name,
    kind: 'module',
    shape: 'handler',
    more: '',
    asks: ALL,
    upstreams: [],
    keeps: '',
    isSecure: false,
    isOffender: false,
    isRated: false,
    isWatched: lines.includes('watch = yes'),
    ...given,
    lines,
  }
}
