/**
 * An upstream that trusts nobody: reads requests by their letters (RFC 9112), with no parser of Node's, keeps each of them, and
 * takes whatever is not exactly of that form for a fault of who sent it.
 *
 * Limit: one answer for all. Invariant: nothing is kept that was not read to its end; after a fault its connection is ended.
 */
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:net'
import type { TestContext } from 'node:test'

/** A request as it came over the wire. */
export interface SeenRequest {
  method: string
  target: string
  /** In lower case, with its value. */
  headers: [string, string][]
  body: string
}

export interface StrictUpstream {
  port: number
  /** Whole requests. */
  seen: SeenRequest[]
  /** What came that no strict server would take. */
  faults: string[]
}

/** Listens on a free port; ended with the test. @param text what it answers everything with */
export async function strictUpstream(t: TestContext, text: string): Promise<StrictUpstream> {
  const sockets = new Set<Socket>()
  const upstream: StrictUpstream = { port: 0, seen: [], faults: [] }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    serve(socket, upstream, text)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  upstream.port = (server.address() as AddressInfo).port
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return upstream
}

function serve(socket: Socket, { seen, faults }: StrictUpstream, text: string): void {
  let left = ''
  socket.on('data', (chunk: Buffer) => {
    left += chunk.toString('latin1')
    try {
      for (let read = readRequest(left); read !== undefined; read = readRequest(left)) {
        const [request, length] = read
        left = left.slice(length)
        seen.push(request)
        const body = request.method === 'HEAD' ? '' : text
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${body}`)
      }
    } catch (error) {
      faults.push(`${error instanceof Error ? error.message : error} in ${JSON.stringify(left.slice(0, 500))}`)
      left = ''
      socket.destroy()
    }
  })
}

const HEAD = /^([A-Z][A-Z-]*) (\/[\x21-\x7e\x80-\xff]*|\*) HTTP\/1\.1$/
const FIELD = /^([\w!#$%&'*+.^`|~-]+): ?([\x20-\x7e\x80-\xff\t]*)$/
/** Of one connection: no server on the way may pass them on. `connection` and `transfer-encoding` are its own then. */
const HOP_BY_HOP = ['keep-alive', 'proxy-connection', 'trailer', 'expect']

/**
 * The first request of a text, and how many characters it takes.
 *
 * @returns undefined where it is not whole
 * @throws what is wrong with it
 */
function readRequest(text: string): [request: SeenRequest, length: number] | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [line = '', ...fields] = text.slice(0, end).split('\r\n')
  const start = HEAD.exec(line)
  if (start === null) throw new Error('no request line')
  const headers = fields.map((field): [string, string] => {
    const parts = FIELD.exec(field)
    if (parts === null) throw new Error(`no field: ${JSON.stringify(field)}`)
    return [(parts[1] as string).toLowerCase(), parts[2] as string]
  })
  const body = readBody(text.slice(end + 4), headers)
  if (body === undefined) return undefined
  const [, method = '', target = ''] = start
  return [{ method, target, headers, body: body.text }, end + 4 + body.length]
}

function readBody(text: string, headers: readonly [string, string][]): { text: string; length: number } | undefined {
  const values = (wanted: string): string[] => headers.filter(([name]) => name === wanted).map(([, value]) => value)
  const hop = headers.find(([name]) => HOP_BY_HOP.includes(name))
  if (hop !== undefined) throw new Error(`a field of another connection: ${hop[0]}`)
  if (values('te').some((value) => value !== 'trailers')) throw new Error('codings of another connection')
  const isUpgrade = values('connection').join().toLowerCase() === 'upgrade'
  if (values('upgrade').length !== (isUpgrade ? 1 : 0)) throw new Error('an upgrade that is none')
  if (values('host').length !== 1) throw new Error(`${values('host').length} Host fields`)
  const lengths = values('content-length')
  const codings = values('transfer-encoding')
  if (lengths.length + codings.length > 1) throw new Error('more than one word on the length')
  if (codings[0] !== undefined) {
    if (codings[0] !== 'chunked') throw new Error(`coding ${codings[0]}`)
    return readChunks(text)
  }
  if (lengths[0] !== undefined && !/^\d{1,15}$/.test(lengths[0])) throw new Error(`length ${lengths[0]}`)
  const length = Number(lengths[0] ?? 0)
  return text.length < length ? undefined : { text: text.slice(0, length), length }
}

function readChunks(text: string): { text: string; length: number } | undefined {
  let body = ''
  for (let at = 0; ; ) {
    const end = text.indexOf('\r\n', at)
    if (end === -1) return undefined
    const digits = text.slice(at, end)
    if (!/^[0-9a-fA-F]{1,8}$/.test(digits)) throw new Error(`chunk of size ${JSON.stringify(digits)}`)
    const size = Number.parseInt(digits, 16)
    const next = end + 2 + size
    if (text.length < next + 2) return undefined
    if (text.slice(next, next + 2) !== '\r\n') throw new Error('a chunk that does not end')
    if (size === 0) return { text: body, length: next + 2 }
    body += text.slice(end + 2, next)
    at = next + 2
  }
}
