/**
 * Reads one configuration file, and says in words why it cannot be used: missing, a folder, too large, not text.
 *
 * Synchronous on purpose: a configuration file is at most 1 MB, and five system calls in a row cost a tenth of what the
 * same five cost through the thread pool; whoever reads thousands of them yields in between (read-sites.ts).
 */
import { isUtf8 } from 'node:buffer'
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs'
import { resolve } from 'node:path'
import { deniedText, isDenied } from '../core/denied.ts'

/** Largest configuration file in bytes. */
export const MAX_FILE_BYTES = 1024 * 1024

/**
 * Why a file cannot be read at this moment and can be at the next, as it is: the process or the machine lacks something, or a disk
 * or the network does not answer.
 */
const PASSING = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'ESTALE', 'ETIMEDOUT', 'EAGAIN', 'EBUSY'])

let missed = 0

/** How often something could not be read for a reason that passes. Where it grew during a reading, that one has to be repeated. */
export function missedReads(): number {
  return missed
}

/** Counts a failure to read, if it is of that sort. @param code of the system error */
export function noteMissedRead(code: string): void {
  if (PASSING.has(code)) missed++
}

/** `fault`: why the file cannot be used, for a person; `line` where it is known. */
export type TextFile = { text: string } | { fault: string; line: number | undefined }

/**
 * The text of a UTF-8 file, without its byte order mark.
 *
 * @param path followed if it is a link
 */
export function readTextFile(path: string): TextFile {
  let descriptor: number
  try {
    // O_NONBLOCK: opening a named pipe would otherwise wait for its other end, for ever.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    return { fault: openFault(path, errorCode(error)), line: undefined }
  }
  try {
    return readOpenFile(descriptor)
  } catch (error) {
    noteMissedRead(errorCode(error))
    return { fault: `cannot be read (${errorCode(error)})`, line: undefined }
  } finally {
    closeSync(descriptor)
  }
}

function readOpenFile(descriptor: number): TextFile {
  const stats = fstatSync(descriptor)
  if (stats.isDirectory()) return { fault: 'is a folder, not a file', line: undefined }
  if (!stats.isFile()) return { fault: 'is not a regular file', line: undefined }
  if (stats.size > MAX_FILE_BYTES) return { fault: sizeFault(stats.size), line: undefined }
  // One byte more than it may have: it can have grown since it was looked at.
  const buffer = Buffer.allocUnsafe(Math.min(stats.size + 4096, MAX_FILE_BYTES + 1))
  let length = 0
  while (length < buffer.length) {
    const count = readSync(descriptor, buffer, length, buffer.length - length, null)
    if (count === 0) break
    length += count
  }
  if (length > MAX_FILE_BYTES) return { fault: sizeFault(length), line: undefined }
  return decode(buffer.subarray(0, length))
}

function decode(bytes: Buffer): TextFile {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    return { fault: 'is UTF-16: save it as UTF-8', line: undefined }
  }
  const nul = bytes.indexOf(0)
  if (nul !== -1)
    return { fault: 'has a NUL byte: it is not a text file', line: lineAt(bytes.toString('latin1', 0, nul)) }
  const text = bytes.toString('utf8', bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0)
  if (!isUtf8(bytes)) {
    return { fault: 'is not UTF-8 text: save it as UTF-8', line: lineAt(text.slice(0, text.indexOf('\ufffd'))) }
  }
  return { text }
}

/** The number of the line that follows this text. */
function lineAt(before: string): number {
  return before.split(/\r\n|\n|\r/).length
}

function sizeFault(bytes: number): string {
  return `is ${(bytes / MAX_FILE_BYTES).toFixed(1)} MB large; a configuration file may have 1 MB at most`
}

function openFault(path: string, code: string): string {
  if (isDenied(code)) return `cannot be read: ${deniedText(resolve(path))}`
  noteMissedRead(code)
  if (code === 'ELOOP') return 'is a link that leads back to itself'
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return `cannot be read (${code})`
  const target = linkTarget(path)
  return target === undefined ? 'does not exist' : `is a link to ${target}, which does not exist`
}

function linkTarget(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined
  } catch {
    return undefined // not there at all, and that is what the caller then says
  }
}

/** The code of a system error, such as `ENOENT`. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
