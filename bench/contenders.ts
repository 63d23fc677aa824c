/**
 * The servers that are set side by side, each answering for site1.test … siteN.test with the same 18 bytes of JSON, on a
 * port of 127.0.0.1 that the kernel chose.
 *
 * A contender runs until it is disposed of; it says which processes it consists of, so that their CPU and memory can be
 * counted.
 */
import { request } from 'node:http'
import { join } from 'node:path'
import type { Child } from './children.ts'
import { startChild, until } from './children.ts'
import { startNginx } from './nginx.ts'
import type { VhostelOptions } from './vhostel.ts'
import { startVhostel } from './vhostel.ts'

const SERVERS = join(import.meta.dirname, 'servers')
const START_DEADLINE_MS = 60_000
const ANSWER_DEADLINE_MS = 60_000
/** So many Node processes are started at the same time. */
const STARTED_AT_ONCE = 4

export interface Contender extends AsyncDisposable {
  readonly name: string
  /** Port of the front. */
  readonly port: number
  /** Ports of the sites, where each has its own; else empty. */
  readonly sitePorts: readonly number[]
  /** Processes whose whole trees are the contender. */
  readonly pids: readonly number[]
}

/** `node:http` with nothing on it: the floor. */
export async function bareNode(): Promise<Contender> {
  const { child, port } = await startServer('bare.mjs')
  return contender('bare node:http', port, [], [child])
}

/** One Node process with one Fastify site, no front. */
export async function fastifyAlone(): Promise<Contender> {
  const { child, port } = await startServer('alone.mjs')
  return contender('Fastify alone', port, [], [child])
}

/** One Node process for each site, no front. */
export async function nodeProcesses(sites: number): Promise<Contender> {
  const servers = await startServers(sites)
  const ports = servers.map(({ port }) => port)
  return contender(
    sites === 1 ? 'one Node process' : `${sites} Node processes`,
    ports[0] as number,
    ports,
    servers.map(({ child }) => child),
  )
}

/** nginx that hands each site to its own Node process: what people do today. */
export async function nginxToNode(sites: number): Promise<Contender> {
  await using stack = new AsyncDisposableStack()
  const servers = await startServers(sites)
  for (const { child } of servers) stack.use(child)
  const nginx = stack.use(await startNginx(servers.map(({ port }) => port)))
  const name = sites === 1 ? 'nginx → one Node process' : `nginx → ${sites} Node processes`
  const pids = [nginx.pid, ...servers.map(({ child }) => child.pid)]
  return owned(stack.move(), { name, port: nginx.port, sitePorts: [], pids })
}

/** One file, sent by nginx itself. @param folder holds `index.html` */
export async function nginxFiles(folder: string): Promise<Contender> {
  await using stack = new AsyncDisposableStack()
  const nginx = stack.use(await startNginx([], folder))
  return owned(stack.move(), { name: 'nginx', port: nginx.port, sitePorts: [], pids: [nginx.pid] })
}

/** One file, sent by a Node process that has it in memory, behind nginx. */
export async function nginxToFile(file: string): Promise<Contender> {
  await using stack = new AsyncDisposableStack()
  const { child, port } = await startServer('file.mjs', [file])
  stack.use(child)
  const nginx = stack.use(await startNginx([port]))
  const pids = [nginx.pid, child.pid]
  return owned(stack.move(), { name: 'nginx → one Node process', port: nginx.port, sitePorts: [], pids })
}

/** The sites in vhostel's pool, everything as it comes. @param note what is special, for the name */
export async function vhostel(sites: number, options: Omit<VhostelOptions, 'sites'>, note = ''): Promise<Contender> {
  const running = await startVhostel({ ...options, sites })
  return {
    name: `vhostel${note}`,
    port: running.port,
    sitePorts: [],
    pids: [running.pid],
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  }
}

/** One request to site number `site` (from 1 on). @throws unless the answer is the right one */
export async function visit({ name, port, sitePorts }: Contender, site: number): Promise<void> {
  const body = await ask(sitePorts[site - 1] ?? port, `site${site}.test`)
  if (body !== '{"hello":"world!"}') throw new Error(`${name}: site ${site} answers ${body}`)
}

/** @returns the body of the answer */
export function ask(port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_DEADLINE_MS)
    const asked = request({ host: '127.0.0.1', port, headers: { host }, agent: false, signal }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += text
      })
      response.on('error', reject)
      response.on('end', () => resolve(body))
    })
    asked.on('error', reject)
    asked.end()
  })
}

interface Server {
  child: Child
  port: number
}

async function startServers(count: number): Promise<Server[]> {
  const servers: Server[] = []
  while (servers.length < count) {
    const batch = Math.min(STARTED_AT_ONCE, count - servers.length)
    servers.push(...(await Promise.all(Array.from({ length: batch }, () => startServer('alone.mjs')))))
  }
  return servers
}

async function startServer(file: string, args: string[] = []): Promise<Server> {
  const child = await startChild(process.execPath, [join(SERVERS, file), ...args])
  const port = await until('its port', child, START_DEADLINE_MS, () => /^(\d+)\n/.exec(child.output)?.[1])
  return { child, port: Number(port) }
}

function contender(name: string, port: number, sitePorts: number[], children: Child[]): Contender {
  const stack = new AsyncDisposableStack()
  for (const child of children) stack.use(child)
  return owned(stack, { name, port, sitePorts, pids: children.map(({ pid }) => pid) })
}

function owned(stack: AsyncDisposableStack, rest: Omit<Contender, typeof Symbol.asyncDispose>): Contender {
  return { ...rest, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}
