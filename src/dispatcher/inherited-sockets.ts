/**
 * Listening sockets that whoever started the server holds for it, as a systemd `.socket` unit does (sd_listen_fds(3)). They
 * stay open while the server is restarted, so clients that connect meanwhile wait in the kernel's queue and none is refused.
 *
 * A socket takes the place of the `listen` that names its address. Limits: TCP and unix stream sockets on Linux, whose
 * addresses stand in /proc/net. Invariant: each listening socket is used by one listener at the most, or closed.
 */
import { closeSync, fstatSync, readFileSync } from 'node:fs'
import type { Server } from 'node:net'
import type { ListenAddress } from '../config/listen.ts'
import { ALL_INTERFACES, ALL_OF_IPV4, formatListenAddress } from '../config/listen.ts'
import { listening } from '../core/listening.ts'

/** The first descriptor that is handed over, as sd_listen_fds(3) has it. */
const FIRST_FD = 3
/** As many as are taken; a unit with more is a mistake. */
const MAX_SOCKETS = 256

/** A socket that was handed over. */
export interface InheritedSocket {
  readonly fd: number
  /** As `[server] listen` would say it; what is wrong with the descriptor where that cannot be told. */
  readonly address: string
  /** It is no listening socket; with a wrong count it may be a descriptor of the server's own. */
  readonly isOther?: true
}

export class InheritedSockets {
  readonly #free: Map<string, InheritedSocket>

  constructor(sockets: readonly InheritedSocket[]) {
    this.#free = new Map()
    for (const { fd, address, ...rest } of sockets) {
      const name = this.#free.has(address) ? `${address}, once more (descriptor ${fd})` : address
      this.#free.set(name, { fd, address: name, ...rest })
    }
  }

  /**
   * The sockets that were handed to this process. What says so is taken out of `env`: it holds for this process alone.
   *
   * @param env `LISTEN_PID`, `LISTEN_FDS`
   */
  static take(env: NodeJS.ProcessEnv): InheritedSockets {
    const { LISTEN_PID: pid, LISTEN_FDS: count } = env
    for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name]
    if (Number(pid) !== process.pid) return new InheritedSockets([])
    const names = listeningSockets()
    const fds = Array.from({ length: Math.min(MAX_SOCKETS, Number(count) || 0) }, (_, index) => FIRST_FD + index)
    return new InheritedSockets(fds.map((fd) => socketAt(fd, names)))
  }

  /**
   * Has a server accept on the socket of this address.
   *
   * @param backlog connections that may wait to be accepted
   * @returns whether there is one; else the server has to bind the address itself
   */
  async listen(server: Server, address: ListenAddress, backlog: number): Promise<boolean> {
    const socket = this.#socketOf(address)
    if (socket === undefined) return false
    this.#free.delete(socket.address)
    await listening(server, (done) => server.listen({ fd: socket.fd }, backlog, done))
    return true
  }

  /** Closes all but those that these addresses name, and what is no listening socket. @returns what is not used */
  closeOthers(addresses: readonly ListenAddress[]): InheritedSocket[] {
    const named = new Set(addresses.map((address) => this.#socketOf(address)))
    const others = [...this.#free.values()].filter((socket) => !named.has(socket))
    for (const { fd, address, isOther } of others) {
      this.#free.delete(address)
      if (isOther === undefined) closeQuietly(fd)
    }
    return others
  }

  #socketOf(address: ListenAddress): InheritedSocket | undefined {
    const socket = this.#free.get(formatListenAddress(shortened(address)))
    if (socket !== undefined || address.kind === 'unix' || address.host !== ALL_INTERFACES) return socket
    // What systemd makes of a port alone where the kernel has no IPv6.
    return this.#free.get(formatListenAddress({ ...address, host: ALL_OF_IPV4 }))
  }
}

/** Addresses of the listening sockets of this network namespace, by inode (proc(5)). */
function listeningSockets(): Map<string, string> {
  const read = (table: string): string[] => readTable(`/proc/self/net/${table}`)
  return new Map([
    ...read('tcp').flatMap(tcpListener),
    ...read('tcp6').flatMap(tcpListener),
    ...read('unix').flatMap(unixListener),
  ])
}

function readTable(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(1)
  } catch {
    // Without IPv6 there is no tcp6.
    return []
  }
}

function socketAt(fd: number, names: ReadonlyMap<string, string>): InheritedSocket {
  try {
    const address = names.get(String(fstatSync(fd).ino))
    if (address !== undefined) return { fd, address }
    return { fd, address: `descriptor ${fd}, which is no listening socket`, isOther: true }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { fd, address: `descriptor ${fd}, which is not open (${code})`, isOther: true }
  }
}

/** `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`; state 0A is LISTEN. */
export function tcpListener(line: string): [inode: string, address: string][] {
  const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
  const [address = '', port = ''] = local.split(':')
  if (state !== '0A' || inode === undefined) return []
  const host = address.length === 8 ? ipv4(address) : ipv6(address)
  return [[inode, formatListenAddress({ kind: 'tcp', host, port: Number.parseInt(port, 16) })]]
}

/** `Num RefCount Protocol Flags Type St Inode Path`; flag 10000 (hexadecimal) is that of a listening socket, type 1 a stream. */
export function unixListener(line: string): [inode: string, address: string][] {
  const [, flags, type, inode, path] = /^\S+ \S+ \S+ (\S+) (\S+) \S+ +(\d+) (\/.*)$/.exec(line) ?? []
  if (flags !== '00010000' || type !== '0001' || inode === undefined || path === undefined) return []
  return [[inode, `unix:${path}`]]
}

/** Addresses are printed as words in the machine's byte order, which is little endian on all that Node runs on under Linux but s390x. */
function bytesOf(hex: string): Buffer {
  const bytes = Buffer.from(hex, 'hex')
  return isLittleEndian ? bytes.swap32() : bytes
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

function ipv4(hex: string): string {
  return [...bytesOf(hex)].join('.')
}

function ipv6(hex: string): string {
  const words = bytesOf(hex).toString('hex').match(/.{4}/g) ?? []
  return shortIpv6(words.join(':'))
}

/** As RFC 5952 has it, which is what the URL parser makes of any spelling. */
function shortIpv6(host: string): string {
  return new URL(`http://[${host}]/`).hostname.slice(1, -1)
}

function shortened(address: ListenAddress): ListenAddress {
  if (address.kind === 'unix' || !address.host.includes(':')) return address
  return { ...address, host: shortIpv6(address.host) }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // It was not open.
  }
}
