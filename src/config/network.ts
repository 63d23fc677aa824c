/**
 * Lists of networks in INI files: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`, and `unix` for whoever comes over a unix
 * socket and has no address.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { quote } from './problems.ts'
import type { Read } from './units.ts'
import { listType } from './units.ts'

/** A network in its usual notation, or `unix`. */
export type Network = string

/** Whether an address is in a list. */
export interface AddressSet {
  /** @param address as Node tells it; '' for a unix socket */
  has(address: string): boolean
}

const UNIX: Network = 'unix'
const EXAMPLES = '(such as 192.0.2.7, 10.0.0.0/8, 2001:db8::/32 or unix)'

/** Reads one network. */
export function readNetwork(found: string): Read<Network> {
  if (found === UNIX) return { value: found }
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(found) ?? []
  if (found === 'all') {
    return {
      problem: '"all" is not a network: without allow everybody is let in, and with it nobody else',
    }
  }
  if (!isIPv4(address) && !isIPv6(address)) return { problem: `${quote(found)} is not a network ${EXAMPLES}` }
  if (address.includes('%')) return { problem: `${quote(found)}: an address with a zone cannot stand here` }
  const most = isIPv4(address) ? 32 : 128
  if (bits !== undefined && Number(bits) > most) {
    return { problem: `${quote(found)}: the prefix has at most ${most} bits` }
  }
  return { value: found }
}

/** A key with networks, separated by commas or blanks. */
export const networks = listType('list of networks', readNetwork, String)

/** Makes a set of networks; IPv4 addresses are found in it in their IPv6 form as well (`::ffff:192.0.2.7`). */
export function addressSet(list: readonly Network[]): AddressSet {
  const blocks = new BlockList()
  for (const network of list) {
    if (network === UNIX) continue
    const [address = '', bits] = network.split('/')
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    if (bits === undefined) blocks.addAddress(address, family)
    else blocks.addSubnet(address, Number(bits), family)
  }
  const hasUnix = list.includes(UNIX)
  return {
    has(address) {
      if (address === '') return hasUnix
      const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined
      return family !== undefined && blocks.check(address, family)
    },
  }
}
