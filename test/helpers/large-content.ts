/** Large bodies that are told apart at every byte: a stream cipher's, by their seed. */
import { createCipheriv, createHash } from 'node:crypto'

export const MEGABYTE = 1_048_576

/** @param seed of one letter */
export function contentOf(seed: string, megabytes: number): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  return cipher.update(Buffer.alloc(megabytes * MEGABYTE))
}

export const sumOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
