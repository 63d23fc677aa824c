/** Large bodies that are told apart at every byte: a stream cipher's, by their seed. */
import { createCipheriv, createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'

export const MEGABYTE = 1_048_576

/** @param seed of one letter */
export function contentOf(seed: string, megabytes: number): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  return cipher.update(Buffer.alloc(megabytes * MEGABYTE))
}

export const sumOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')

/** As `sumOf`, of what comes. @param pauseMs after each MB, as a client has that is slower than the server */
export async function sumOfStream(stream: Readable, pauseMs: number): Promise<string> {
  const hash = createHash('sha1')
  let [bytes, pauses] = [0, 0]
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.byteLength
    if (pauseMs === 0 || bytes / MEGABYTE < pauses + 1) continue
    pauses++
    await delay(pauseMs)
  }
  return hash.digest('hex')
}
