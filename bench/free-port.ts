/** Ports of 127.0.0.1 for servers that cannot be asked which one the kernel gave them. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { probe } from '../src/core/probe.ts'

const PROBE_MS = 1_000

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  return (await freePorts(1))[0] as number
}

/** Different ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** @returns true when somebody accepts connections there, else undefined */
export async function accepts(port: number): Promise<true | undefined> {
  return (await probe({ host: '127.0.0.1', port }, PROBE_MS)) === 'accepted' ? true : undefined
}
