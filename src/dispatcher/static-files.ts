/**
 * Answers a request of a static site from a folder. Paths, conditions, ranges and types are @fastify/send's; this file
 * adds what the library leaves open: dotfiles are hidden, folders lead to their index, and the head of the answer is only
 * sent once the file is open (open-inside.ts), so a file that cannot be read gets a page and not half an answer.
 *
 * Leaves to others: how long a client may take to read (the front's timeouts), caching and compression.
 *
 * Invariant: whatever was opened is closed when the answer has ended, however it ended.
 */
import { createReadStream, read } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import type { ErrorSendResult } from '@fastify/send'
import { send } from '@fastify/send'
import { closeFile, FileRefused, isFolderInside, openInside } from './open-inside.ts'
import { sendError } from './send-error.ts'
import type { Answerer } from './visit.ts'

const readFile = promisify(read)

export interface StaticFolder {
  /** Absolute path; may be a link, which is followed anew for each request. */
  root: string
  /** Names of the files that stand for a folder, the first that exists is taken. */
  index: string[]
}

/** Files up to this size are read whole and sent with the head in one write, in bytes; larger ones are streamed. */
const MAX_WHOLE_BYTES = 64 * 1024

/** How often a file is looked at that changes between being looked up and being opened; then 503. */
const MAX_ATTEMPTS = 5

/** Answers visits of `kind = static`. */
export function staticAnswers(folder: StaticFolder): Answerer {
  return ({ req, res, asked }) => void serveStatic(req, res, folder, asked.target)
}

/**
 * Answers a request with a file of the folder, a redirect, or an error page. GET and HEAD only.
 *
 * Never throws and never rejects: whatever goes wrong ends the response with a page, or, once the head is out, by ending
 * the connection, which is the only way to tell a client that a file is not whole.
 *
 * @param target the request target in origin form, with its query
 * @returns when the answer has been handed to the system, or the client is gone
 */
export async function serveStatic(
  req: IncomingMessage,
  res: ServerResponse,
  folder: StaticFolder,
  target: string,
): Promise<void> {
  try {
    await answer(req, res, folder, target)
  } catch (error) {
    if (res.headersSent || res.destroyed) res.destroy()
    else sendError(req, res, { statusCode: statusOf(error) })
  }
}

async function answer(req: IncomingMessage, res: ServerResponse, folder: StaticFolder, target: string): Promise<void> {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    res.setHeader('allow', 'GET, HEAD')
    throw new FileRefused(405)
  }
  const query = target.indexOf('?')
  const path = query === -1 ? target : target.slice(0, query)
  checkPath(path)
  for (let attempt = 1; ; attempt++) {
    try {
      return await answerPath(req, res, folder, path, query === -1 ? '' : target.slice(query))
    } catch (error) {
      if (!(error instanceof FileRefused && error.changed && attempt < MAX_ATTEMPTS)) throw error
    }
  }
}

/** Refuses what no link of a site leads to: dotfiles (but `/.well-known`, RFC 8615), `..` in any spelling, bad escapes. */
function checkPath(path: string): void {
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    throw new FileRefused(400)
  }
  if (decoded.includes('\0')) throw new FileRefused(400)
  if (!decoded.startsWith('/')) throw new FileRefused(404)
  const visible = decoded.startsWith('/.well-known/') ? decoded.slice('/.well-known'.length) : decoded
  if (visible.includes('/.')) throw new FileRefused(404)
}

/** A descriptor and who closes it: `answerPath`, or a stream, which then takes it out of here. */
interface OpenFile {
  fd: number | undefined
}

async function answerPath(
  req: IncomingMessage,
  res: ServerResponse,
  folder: StaticFolder,
  path: string,
  query: string,
): Promise<void> {
  const file: OpenFile = { fd: undefined }
  try {
    const found = await send(headOf(req), path, {
      root: folder.root,
      index: folder.index,
      dotfiles: 'allow', // checkPath has seen to them: the library knows no exception for .well-known
      onFile: async (name, stat) => {
        file.fd = await openInside(folder.root, name, stat)
      },
    })
    if (found.type === 'directory') return await redirectToFolder(res, folder, found.metadata.path, path, query)
    if (found.type === 'error') return refuse(req, res, found)
    await sendFile(req, res, file, found.statusCode, withType(found.statusCode, found.headers))
  } finally {
    if (file.fd !== undefined) closeFile(file.fd)
  }
}

/**
 * The request as the library is to see it: as HEAD, for it would open the file by its name, after all checks. A range of a
 * real HEAD is left out (RFC 9110 §14.2: it is defined for GET only).
 */
function headOf(req: IncomingMessage): IncomingMessage {
  const headers = req.method === 'HEAD' ? { ...req.headers, range: undefined } : req.headers
  return Object.create(req, { method: { value: 'HEAD' }, headers: { value: headers } })
}

/**
 * Sends the page for what the library refused. Its 403 is for `..` and for a folder without an index, its 500 for anything
 * that it met on the way and did not expect.
 */
function refuse(req: IncomingMessage, res: ServerResponse, found: ErrorSendResult): void {
  const { statusCode, headers, metadata } = found
  const range = headers['Content-Range']
  if (range !== undefined) res.setHeader('content-range', range)
  const status = statusCode === 500 ? statusOf(metadata.error) : statusCode
  sendError(req, res, { statusCode: statusCode === 403 ? 404 : status })
}

/** The library's own redirect would escape the path a second time and lose the query. */
async function redirectToFolder(
  res: ServerResponse,
  folder: StaticFolder,
  name: string,
  path: string,
  query: string,
): Promise<void> {
  if (!(await isFolderInside(folder.root, name))) throw new FileRefused(404)
  // `//host/` and `/\host/` would lead to another host.
  const location = `${path.replace(/^[/\\]+/, '/')}/${query}`
  res.writeHead(301, { location, 'content-length': 0 })
  res.end()
}

/** JavaScript's type since RFC 9239, and one for what the library knows no type of: browsers would guess it. */
function withType(status: number, headers: Record<string, string>): Record<string, string> {
  const type = headers['Content-Type']
  if (status === 304) return headers
  if (type === undefined) return { ...headers, 'Content-Type': 'application/octet-stream' }
  return { ...headers, 'Content-Type': type.replace('application/javascript', 'text/javascript') }
}

// ---- sending ---------------------------------------------------------------------------------------------------

async function sendFile(
  req: IncomingMessage,
  res: ServerResponse,
  file: OpenFile,
  status: number,
  headers: Record<string, string>,
): Promise<void> {
  const length = Number(headers['Content-Length'] ?? 0) // a 304 has none
  const start = Number(/^bytes (\d+)-/.exec(headers['Content-Range'] ?? '')?.[1] ?? 0)
  if (req.method === 'HEAD' || length === 0) {
    res.writeHead(status, headers)
    res.end()
  } else if (length <= MAX_WHOLE_BYTES) {
    const bytes = await readWhole(file, start, length)
    res.writeHead(status, headers)
    res.end(bytes)
  } else {
    res.writeHead(status, headers)
    await stream(res, file, start, length)
  }
}

/** @throws FileRefused (to be tried again) when the file has become shorter meanwhile */
async function readWhole(file: OpenFile, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await readFile(fdOf(file), bytes, filled, length - filled, start + filled)
    if (bytesRead === 0) throw new FileRefused(503, true)
    filled += bytesRead
  }
  return bytes
}

async function stream(res: ServerResponse, file: OpenFile, start: number, length: number): Promise<void> {
  const source = createReadStream('', { fd: fdOf(file), start, end: start + length - 1 })
  file.fd = undefined // the stream closes it, whichever way it ends
  try {
    await pipeline(source, res, { end: false })
  } finally {
    source.destroy() // pipeline leaves the source open where the response was already closed (Node 24.21)
  }
  if (source.bytesRead !== length) throw new FileRefused(503) // truncated: the client waits for what will not come
  res.end()
}

/** The library says that it found a file only after `onFile` has opened it. */
function fdOf(file: OpenFile): number {
  if (file.fd === undefined) throw new FileRefused(500)
  return file.fd
}

/** The status for what reading met. */
function statusOf(error: unknown): number {
  if (error instanceof FileRefused) return error.status
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'ENOENT': // deleted between two looks
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return 404
    case 'EACCES':
    case 'EPERM':
      return 403
    case 'EMFILE': // out of file descriptors
    case 'ENFILE':
      return 503
    default:
      return 500
  }
}
