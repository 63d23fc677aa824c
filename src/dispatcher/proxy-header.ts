/**
 * Reads the PROXY protocol header (version 1 or 2) with which a balancer's connection begins, before anything else does.
 *
 * Limits: `MAX_HEADER_BYTES`, and the time given. Invariant: what follows the header is read by whoever comes next, and
 * nothing of the header.
 */

import type { Socket } from 'node:net'
import { isIP, SocketAddress } from 'node:net'
import type { ProxyAddress } from 'proxy-protocol-js'
import { IPv4ProxyAddress, IPv6ProxyAddress, V1ProxyProtocol, V2ProxyProtocol } from 'proxy-protocol-js'

/** Whom a connection is for. */
export interface ProxiedPeer {
  address: string
  port: number
}

/** `rest`: what came behind the header. `peer` is undefined where the balancer speaks for itself, as in a health check. */
export type ProxyHeader = { peer: ProxiedPeer | undefined; rest: Buffer }

const V1_START = Buffer.from('PROXY ')
const V2_START = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
/** Of version 1, as its text says (§2.1). */
const MAX_V1_BYTES = 107
/** Of version 2 before its addresses. */
const V2_FIXED_BYTES = 16
/** Version 2, and the command LOCAL. */
const V2_LOCAL = 0x20
/** Addresses of unix sockets have 216 bytes; the rest is for what balancers add. */
const MAX_HEADER_BYTES = 4096

/**
 * Looks for a whole header at the beginning of bytes.
 *
 * @returns undefined while more bytes are needed
 * @throws Error for what is no header
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (startsAs(bytes, V2_START)) return bytes.length < V2_FIXED_BYTES ? undefined : parseV2(bytes)
  if (startsAs(bytes, V1_START)) return parseV1(bytes)
  throw new Error('no PROXY protocol header')
}

/** Whether bytes begin with others, as far as they have come. */
function startsAs(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.subarray(0, length).equals(start.subarray(0, length))
}

function parseV1(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n')
  if (end === -1) {
    if (bytes.length >= MAX_V1_BYTES) throw new Error('a PROXY protocol header that does not end')
    return undefined
  }
  const line = bytes.toString('latin1', 0, end)
  const rest = bytes.subarray(end + 2)
  // What follows UNKNOWN has to be passed over (§2.1).
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { peer: undefined, rest }
  const { source, inetProtocol } = V1ProxyProtocol.parse(`${line}\r\n`)
  if (inetProtocol !== (isIP(source.ipAddress) === 6 ? 'TCP6' : 'TCP4')) throw new Error('an address of another family')
  return { peer: checked({ address: source.ipAddress, port: source.port }), rest }
}

function parseV2(bytes: Buffer): ProxyHeader | undefined {
  const length = V2_FIXED_BYTES + bytes.readUInt16BE(V2_FIXED_BYTES - 2)
  if (length > MAX_HEADER_BYTES) throw new Error('a PROXY protocol header that is too long')
  if (bytes.length < length) return undefined
  const rest = bytes.subarray(length)
  // Whatever stands behind that command, also as the family, has to be passed over (§2.2).
  if (bytes[V2_START.length] === V2_LOCAL) return { peer: undefined, rest }
  const { proxyAddress } = V2ProxyProtocol.parse(bytes.subarray(0, length))
  const peer = peerOf(proxyAddress)
  return { peer: peer && checked(peer), rest }
}

/** @returns undefined for what has no IP address, such as a unix socket */
function peerOf(of: ProxyAddress): ProxiedPeer | undefined {
  if (of instanceof IPv4ProxyAddress) return { address: of.sourceAddress.address.join('.'), port: of.sourcePort }
  if (!(of instanceof IPv6ProxyAddress)) return undefined
  const groups = Buffer.from(of.sourceAddress.address).toString('hex').match(/.{4}/g) ?? []
  return { address: new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address, port: of.sourcePort }
}

function checked(peer: ProxiedPeer): ProxiedPeer {
  if (isIP(peer.address) === 0 || peer.port > 65535) throw new Error('no address')
  return peer
}

/**
 * Reads the header from a connection that nobody has read from.
 *
 * @param timeoutMs time in which it has to have come; then, and where it is no header, the connection is ended
 * @param onHeader called once it is there; the socket then begins with what follows
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  onHeader: (peer: ProxiedPeer | undefined) => void,
): void {
  let bytes = Buffer.alloc(0)
  const late = setTimeout(() => socket.destroy(), timeoutMs)
  const done = (): void => {
    clearTimeout(late)
    socket.off('readable', onReadable).off('end', onEnd).off('error', onEnd).off('close', done)
  }
  const onEnd = (): void => {
    socket.destroy()
  }
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) return
    bytes = Buffer.concat([bytes, chunk])
    try {
      const header = parseProxyHeader(bytes)
      if (header === undefined) return
      done()
      if (header.rest.length > 0) socket.unshift(header.rest)
      onHeader(header.peer)
    } catch {
      socket.destroy()
    }
  }
  socket.on('readable', onReadable).on('end', onEnd).on('error', onEnd).on('close', done)
}
