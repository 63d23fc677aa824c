/**
 * Sends an open file, or parts of it, with the head that was made for it.
 *
 * Invariant: a client gets as many bytes as the head announced, or its connection is ended.
 */
import { createReadStream, read } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import type { ByteRange, Multipart } from './byte-ranges.ts'
import { multipart } from './byte-ranges.ts'
import { FileRefused } from './open-inside.ts'
import type { FileHead, OpenFile } from './representation.ts'

const readBytes = promisify(read)

/** Up to so many bytes are read whole and sent with the head in one write; more are streamed. */
const MAX_WHOLE_BYTES = 64 * 1024
/** Of several ranges, so much is held at a time. */
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
    await stream(res, file, first)
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

/** As `stream`, and the descriptor stays open: a stream would close it whatever it is told. */
async function copy(res: ServerResponse, file: OpenFile, { start, end }: ByteRange): Promise<void> {
  for (let at = start; at <= end; at += CHUNK_BYTES) {
    const bytes = await readWhole(file, at, Math.min(CHUNK_BYTES, end + 1 - at))
    if (res.destroyed) throw new FileRefused(503) // the client is gone
    if (!res.write(bytes)) await drained(res)
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

async function stream(res: ServerResponse, file: OpenFile, { start, end }: ByteRange): Promise<void> {
  const source = createReadStream('', { fd: fdOf(file), start, end })
  file.fd = undefined // the stream closes it, whichever way it ends
  try {
    await pipeline(source, res, { end: false })
  } finally {
    source.destroy() // pipeline leaves the source open where the response was already closed (Node 24.21)
  }
  if (source.bytesRead !== end - start + 1) throw new FileRefused(503) // truncated: the client waits in vain
}

/** The library says that it found a file only after it has been opened. */
function fdOf(file: OpenFile): number {
  if (file.fd === undefined) throw new FileRefused(500)
  return file.fd
}
