/**
 * Where a program is to listen: a unix socket in a folder that only its user (and root) may enter, or a free port of
 * 127.0.0.1.
 *
 * Ports are taken below those that the kernel gives to outgoing connections: one of these could be in use again before the
 * program binds it, and a connection to it, while nobody listens, can even meet itself (tcp(7), simultaneous open).
 * Limit: between the choice of a port and its use, another program may take it; then this one ends, and is started again
 * with another. Invariant: no two places that are in use have one port or one path.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Place } from '../../config/command-line.ts'
import type { Identity } from '../../config/identity.ts'
import type { Upstream } from '../../config/site-backend.ts'
import { checkSocketPath } from '../../core/socket-path.ts'
import { openRunFolder } from '../../pool/other-user.ts'

export interface ListenPlace {
  upstream: Upstream
  /** `SOCKET` or `PORT`, and its value. */
  env: Record<Place, string>
  /** Takes away what was made for it. */
  dispose(): void
}

const FOLDER = 'commands'
const LOWEST_PORT = 10_000
const MAX_TRIES = 100

const portsInUse = new Set<number>()
let lastSocket = 0

/** Makes a place. @throws VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_RUN_UNREACHABLE, or what the system says */
export async function makePlace(place: Place, run: string, identity: Identity | undefined): Promise<ListenPlace> {
  return place === 'SOCKET' ? makeSocketPlace(run, identity) : await makePortPlace()
}

/** Takes away what servers left that were killed. */
export function clearLeftPlaces(run: string): void {
  for (const name of namesIn(join(run, FOLDER))) {
    const pid = Number(/^(\d+)-\d+$/.exec(name)?.[1])
    if (pid > 0 && pid !== process.pid && !isAlive(pid))
      rmSync(join(run, FOLDER, name), { recursive: true, force: true })
  }
}

function makeSocketPlace(run: string, identity: Identity | undefined): ListenPlace {
  const above = join(run, FOLDER)
  mkdirSync(above, { recursive: true, mode: 0o711 })
  // Whatever the umask of the server is.
  chmodSync(above, 0o711)
  const folder = join(above, `${process.pid}-${++lastSocket}`)
  const path = join(folder, 's')
  checkSocketPath(path)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  if (identity !== undefined) {
    chownSync(folder, identity.uid, identity.gid)
    openRunFolder(identity, run)
  }
  return {
    upstream: { kind: 'unix', path },
    env: { SOCKET: path, PORT: '' },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }
}

async function makePortPlace(): Promise<ListenPlace> {
  const highest = firstOutgoingPort() - 1
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (highest - LOWEST_PORT + 1))
    if (portsInUse.has(port)) continue
    portsInUse.add(port)
    if (await isFree(port)) {
      const upstream: Upstream = { kind: 'tcp', host: '127.0.0.1', port, isTls: false }
      return { upstream, env: { SOCKET: '', PORT: String(port) }, dispose: () => portsInUse.delete(port) }
    }
    portsInUse.delete(port)
  }
  throw new Error('no port of 127.0.0.1 is free')
}

/** ip(7), ip_local_port_range. */
function firstOutgoingPort(): number {
  try {
    const first = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1').split(/\s+/)[0])
    if (first > LOWEST_PORT + MAX_TRIES) return first
  } catch {
    // Not Linux.
  }
  return 32_768
}

/** Whether nobody listens there, on this address or on all. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.on('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
