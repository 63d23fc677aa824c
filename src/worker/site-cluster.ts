/**
 * Sites that start a process for each core by `node:cluster` are told that they are one of those already: they go
 * straight to listening, and the pool is what spreads them. Started processes would serve outside vhostel. What such a
 * site sends to its primary process goes nowhere, as there is none.
 *
 * A file that has something for the primary process and starts no process itself (log4js, which has that one write) is
 * told that it is the primary process: it does by itself what it has to do.
 *
 * Sockets for datagrams are real ones: there is no primary process that would share them out. Limit: which it is, is told by
 * the words `fork` and `process.send` in the file that asks.
 */
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { getCallSites } from 'node:util'
import { currentSite } from './request-context.ts'
import { scriptPath } from './script-path.ts'
import type { Site } from './site.ts'

type Bind = (this: dgram.Socket, ...args: unknown[]) => dgram.Socket
type Role = 'asks' | 'forks' | 'sends'

/** What each file that has asked does, by path. Files are read once a thread. */
const roles = new Map<string, Role>()
/** What `process.send` is for the sites that have one. */
const senders = new WeakMap<Site, unknown>()

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteCluster(): void {
  const worker = Object.assign(new EventEmitter(), {
    id: 1,
    process,
    isConnected: () => true,
    isDead: () => false,
    send,
    disconnect: () => worker,
    kill: () => {},
    exitedAfterDisconnect: false,
  })
  Object.assign(cluster, { worker })
  for (const [name, isPrimary] of [
    ['isPrimary', true],
    ['isMaster', true],
    ['isWorker', false],
  ] as const) {
    Object.defineProperty(cluster, name, {
      configurable: true,
      enumerable: true,
      get: () => (roleOfCaller() === 'sends') === isPrimary,
      set: () => {},
    })
  }
  ownSend()
  bindHere()
}

/** What the file does that asks, two calls up: the accessor's caller. */
function roleOfCaller(): Role {
  const place = getCallSites(FRAMES).at(FRAMES - 1)?.scriptName ?? ''
  const role = place.startsWith('node:') ? 'asks' : roleOf(place)
  const site = currentSite()
  if (role === 'forks' && site !== undefined && !senders.has(site)) senders.set(site, send)
  return role
}

/** This function's own, the accessor's, and the one that is asked for. */
const FRAMES = 3

function roleOf(place: string): Role {
  const known = roles.get(place)
  if (known !== undefined) return known
  const text = textOf(place)
  const role = /\bfork\b/.test(text) ? 'forks' : /\bprocess\.send\b/.test(text) ? 'sends' : 'asks'
  roles.set(place, role)
  return role
}

function textOf(place: string): string {
  try {
    return readFileSync(scriptPath(place), 'utf8')
  } catch {
    return ''
  }
}

/** A process that was started by `fork` has it, and only such a one: many a program goes by that. */
function ownSend(): void {
  Object.defineProperty(process, 'send', {
    configurable: true,
    enumerable: true,
    get: () => {
      const site = currentSite()
      return site === undefined ? undefined : senders.get(site)
    },
    set: (value: unknown) => {
      const site = currentSite()
      if (site !== undefined) senders.set(site, value)
    },
  })
}

/** Takes a message for the primary process, and tells of no error. */
function send(...args: unknown[]): boolean {
  const callback = args.findLast((arg) => typeof arg === 'function') as ((error: null) => void) | undefined
  if (callback !== undefined) process.nextTick(callback, null)
  return true
}

/** Has `bind` ask for a socket of its own, whichever way it is called: what is not exclusive is asked of the primary process. */
function bindHere(): void {
  const { bind } = dgram.Socket.prototype as unknown as { bind: Bind }
  const bindOwn: Bind = function (...args) {
    const [first, second] = args
    const isHandle = typeof (first as { recvStart?: unknown } | null)?.recvStart === 'function'
    if (isHandle) return bind.apply(this, args)
    const isOptions = typeof first === 'object' && first !== null
    const port = typeof first === 'function' ? undefined : first
    const address = typeof second === 'function' ? undefined : second
    const options = isOptions ? { ...first, exclusive: true } : { port, address, exclusive: true }
    const callback = args.findLast((arg) => typeof arg === 'function')
    return bind.call(this, options, callback)
  }
  Object.assign(dgram.Socket.prototype, { bind: bindOwn })
}
