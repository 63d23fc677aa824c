/**
 * Sends an open file, or parts of it, with the head that was made for it.
 *
 * Invariant: a client gets as many bytes as the head announced, or its connection is ended.
 */
import { read } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { ReadMemory } from '../protocol/read-memory.ts'
import type { ByteRange, Multipart } from './byte-ranges.ts'
import { multipart } from './byte-ranges.ts'
import { FileRefused } from './open-inside.ts'
import type { FileHead, OpenFile } from './representation.ts'

const readBytes = promisify(read)

/** Up to so many bytes are read whole and sent with the head in one write; more are streamed. */
const MAX_WHOLE_BYTES = 64 * 1024
/** Of what is streamed, so much is held at a time, and as much waits in the client's socket. */
const CHUNK_BYTES = 64 * 1024

/** Sends the body that belongs to a head, which is a 200, 206 or 304. @returns when it has been handed to the system */
export async function sendFile(
  res: ServerResponse,
  method: string | undefined,
  head: FileHead,
  file: OpenFile,
): Promise<void> {
  const { status, headers, wish, stat } = head
  const ranges = wish === 'whole' ? [{ start: 0, end: stat.size - 1 }] : wish === 'none' ? [] : wish
  const [first, second] = ranges
  if (second !== undefined)
    return sendParts(res, multipart(ranges, headers['Content-Type'] ?? '', stat.size), head, file)
  const length = first === undefined ? 0 : first.end - first.start + 1
  if (method === 'HEAD' || first === undefined || length === 0) {
    res.writeHead(status, headers)
    res.end()
  } else if (length <= MAX_WHOLE_BYTES) {
    const bytes = await readWhole(file, first.start, length)
    res.writeHead(status, headers)
    res.end(bytes)
  } else {
    res.writeHead(status, headers)
    await copy(res, file, first)
    res.end()
  }
}

/** @throws FileRefused (to be tried again) when the file has become shorter meanwhile */
export async function readWhole(file: OpenFile, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await readBytes(fdOf(file), bytes, filled, length - filled, start + filled)
    if (bytesRead === 0) throw new FileRefused(503, true)
    filled += bytesRead
  }
  return bytes
}

/** Several ranges, one behind the other in one body. */
async function sendParts(res: ServerResponse, body: Multipart, { headers }: FileHead, file: OpenFile): Promise<void> {
  res.writeHead(206, { ...headers, 'Content-Type': body.type, 'Content-Length': String(body.length) })
  for (const { head, range } of body.parts) {
    res.write(head)
    await copy(res, file, range)
  }
  res.end(body.tail)
}

/** One chunk after the other, as the client takes them. A stream of Node's would leave all of them to the garbage collector. */
async function copy(res: ServerResponse, file: OpenFile, { start, end }: ByteRange): Promise<void> {
  for (let at = start; at <= end; at += CHUNK_BYTES) {
    const bytes = await readWhole(file, at, Math.min(CHUNK_BYTES, end + 1 - at))
    if (res.destroyed) throw new FileRefused(503) // the client is gone
    if (!res.write(bytes, new ReadMemory(bytes).onWritten)) await drained(res)
  }
}

/** @returns when the client has taken what was written, or is gone */
function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done).off('close', done)
      resolve()
    }
    res.on('drain', done).on('close', done)
  })
}

/** The library says that it found a file only after it has been opened. */
function fdOf(file: OpenFile): number {
  if (file.fd === undefined) throw new FileRefused(500)
  return file.fd
}
