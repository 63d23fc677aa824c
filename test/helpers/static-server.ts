/**
 * A folder served by static-files.ts on a real socket, and requests as bytes, which no client library would send so.
 *
 * Limits: every wait has a deadline; the server and the folder end with the test.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import { serveStatic } from '../../src/dispatcher/static-files.ts'
import type { StaticFolder } from '../../src/dispatcher/static-folder.ts'
import { PLAIN_FOLDER } from '../../src/dispatcher/static-folder.ts'

const DEADLINE_MS = 20_000
export const MEGABYTE = 1024 * 1024

export interface StaticServer {
  /** Real path of a fresh folder that holds `root/`, which is served, and may hold what must not be. */
  dir: string
  port: number
  /** The response of the request that came last, and when its answer was over. */
  last: { res: FrontResponse; done: Promise<void> } | undefined
}

/**
 * Serves a folder made of `files` (text by relative path) on a real socket, until the test is over.
 *
 * @param before is called with each response before it is answered
 * @param settings of the folder, where they are not the usual ones
 */
export async function serve(
  t: TestContext,
  files: Record<string, string | Buffer>,
  index: string[] = ['index.html'],
  before: (res: FrontResponse) => void = () => {},
  settings: Partial<StaticFolder> = {},
): Promise<StaticServer> {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'vhostel-static-')))
  const root = join(dir, 'root')
  mkdirSync(root)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, name, '..'), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  const folder = { ...PLAIN_FOLDER, root, index, ...settings }
  const served: StaticServer = { dir, port: 0, last: undefined }
  const server = createServer({ ServerResponse: FrontResponse }, (req: IncomingMessage, res: FrontResponse) => {
    before(res)
    served.last = { res, done: serveStatic(req, res, folder, req.url ?? '') }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  served.port = (server.address() as AddressInfo).port
  t.after(() => {
    server.closeAllConnections()
    server.close()
    rmSync(dir, { recursive: true, force: true })
  })
  return served
}

export interface Answer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/** Sends a request as it is written, which no client library would send so, and reads until the connection ends. */
export async function ask(
  served: StaticServer,
  target: string,
  headers: string[] = [],
  method = 'GET',
): Promise<Answer> {
  const socket = connect(served.port, '127.0.0.1')
  const head = [`${method} ${target} HTTP/1.1`, 'Host: a.test', 'Connection: close', ...headers]
  socket.write(`${head.join('\r\n')}\r\n\r\n`, 'latin1')
  return parse(await readAll(socket))
}

export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('no answer in time')))
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export function parse(bytes: Buffer): Answer {
  const end = bytes.indexOf('\r\n\r\n')
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const headers = lines.map((line) => [
    line.slice(0, line.indexOf(':')).toLowerCase(),
    line.slice(line.indexOf(':') + 2),
  ])
  return { status: Number(first.split(' ')[1]), headers: Object.fromEntries(headers), body: bytes.subarray(end + 4) }
}

/** Waits for something that no event tells. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!isSo()) {
    if (performance.now() > deadline) assert.fail(`not in time: ${what}`)
    await delay(5)
  }
}

/** How many descriptors of this process lead into a folder. */
export function openFilesIn(dir: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(dir)
    } catch {
      return false // the descriptor of the listing itself
    }
  }).length
}

/** Makes a file of zeros that takes no room on the disk. */
export function writeSparse(path: string, bytes: number): void {
  writeFileSync(path, '')
  truncateSync(path, bytes)
}
