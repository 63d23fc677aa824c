/**
 * Answers requests from a folder: from memory where the file is hot (hot-files.ts), else from the disk. Which file it is
 * says find-file.ts, in which form precompressed.ts, with which head representation.ts; the head is only sent once the file
 * is open (open-inside.ts), so a file that cannot be read gets a page and not half an answer.
 *
 * Leaves to others: how long a client may take to read (the front's timeouts), and compression.
 *
 * Invariant: whatever was opened is closed when the answer has ended, however it ended.
 */
import type { IncomingMessage } from 'node:http'
import { errorCode } from '../config/text-file.ts'
import { answerFault } from './attempt.ts'
import { decodePath, sameHostPath, splitTarget } from './file-path.ts'
import type { Found } from './find-file.ts'
import { findFile } from './find-file.ts'
import { folderPage } from './folder-listing.ts'
import type { FrontResponse } from './front-response.ts'
import type { FileForm, HotAnswer } from './hot-files.ts'
import { hotAnswer, isSame, MAX_FILE_BYTES } from './hot-files.ts'
import { sendNotFoundPage } from './not-found-page.ts'
import { closeFile, FileRefused, statFile } from './open-inside.ts'
import { chooseCoding, codingsOf } from './precompressed.ts'
import type { FileHead, OpenFile } from './representation.ts'
import { fileHead, typeOf } from './representation.ts'
import { sendError } from './send-error.ts'
import { readWhole, sendFile } from './send-file.ts'
import { sendHot } from './send-hot.ts'
import type { StaticFolder } from './static-folder.ts'
import type { Answerer, Visit } from './visit.ts'

/** How often a file is looked at that changes between being looked up and being opened; then 503. */
const MAX_ATTEMPTS = 5
/** What is wrong with a request and not with the file. */
const OF_REQUEST = [400, 412, 416]

/** One request for a file of a folder. */
interface FileAsk {
  req: IncomingMessage
  res: FrontResponse
  folder: StaticFolder
  /** As sent, with what the folder is mounted at. */
  path: string
  /** The same without that. */
  own: string
  query: string
  /** What counts as if nothing of that name were there. */
  absent: readonly number[]
}

/** Answers visits of `kind = static`. */
export function staticAnswers(folder: StaticFolder): Answerer {
  return ({ req, res, asked }) =>
    void serveStatic(req, res, folder, asked.target).catch((error) => answerFault(req, res, error))
}

/**
 * Answers a request with a file of the folder, a redirect, or an error page. GET and HEAD only.
 *
 * Whatever goes wrong ends the response with a page, or, once the head is out, by ending the connection, which is the only
 * way to tell a client that a file is not whole.
 *
 * @param target the request target in origin form, with its query
 * @returns when the answer has been handed to the system, or the client is gone
 */
export async function serveStatic(
  req: IncomingMessage,
  res: FrontResponse,
  folder: StaticFolder,
  target: string,
): Promise<void> {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    res.setHeader('allow', 'GET, HEAD')
    return sendError(req, res, { statusCode: 405 })
  }
  const { path, query } = splitTarget(target)
  const ask: FileAsk = { req, res, folder, path, own: path, query, absent: [404] }
  const isThere = answerHot(ask) ?? (await answerCold(ask))
  if (!isThere) await sendNotFoundPage(req, res, folder)
}

/**
 * Answers a GET or HEAD for a folder that is mounted at `prefix`, where the folder has something.
 *
 * @param otherwise called where nothing of that name is there, at once or later
 */
export function serveMounted(
  { req, res, asked }: Pick<Visit, 'req' | 'res' | 'asked'>,
  folder: StaticFolder,
  prefix: string,
  otherwise: () => void,
): void {
  const { path, query } = splitTarget(asked.target)
  const ask: FileAsk = { req, res, folder, path, own: path.slice(prefix.length), query, absent: [400, 404] }
  const isThere = answerHot(ask)
  if (isThere === false) return otherwise()
  if (isThere) return
  answerCold(ask)
    .then((found) => {
      if (!found && !res.destroyed) otherwise()
    })
    .catch((error) => answerFault(req, res, error))
}

/** @returns whether there is something, and it has been sent; undefined where that has to be looked up */
function answerHot({ req, res, folder, path, own, query }: FileAsk): boolean | undefined {
  const known = folder.memory?.know(folder.id, own, req.headers['accept-encoding'])
  if (known === undefined) return undefined
  if ('answer' in known) return sendHot(req, res, known.answer) ? true : undefined
  if (known.found.kind === 'missing') return false
  if (known.found.kind === 'listing') return undefined
  redirect(res, path, query, known.found)
  return true
}

/** @returns whether something is there; what went wrong with that is answered with a page */
async function answerCold(ask: FileAsk): Promise<boolean> {
  const { req, res, folder, own } = ask
  for (let attempt = 1; ; attempt++) {
    try {
      return await answerOnce(ask)
    } catch (error) {
      const statusCode = statusOf(error)
      if (!OF_REQUEST.includes(statusCode)) folder.memory?.forget(folder.id, own)
      if (res.headersSent || res.destroyed) return res.destroy().destroyed
      if (error instanceof FileRefused && error.changed && attempt < MAX_ATTEMPTS) continue
      if (ask.absent.includes(statusCode)) return false
      if (!(error instanceof FileRefused)) folder.onUnread(req, Object.assign(error as Error, { statusCode }))
      if (error instanceof FileRefused) for (const pair of Object.entries(error.headers)) res.setHeader(...pair)
      sendError(req, res, { statusCode })
      return true
    }
  }
}

async function answerOnce(ask: FileAsk): Promise<boolean> {
  const { res, folder, path, own, query } = ask
  const lookedAt = performance.now()
  const decoded = decodePath(own)
  const found = await findFile(folder, decoded)
  folder.memory?.keepPath(folder.id, own, found, lookedAt)
  if (found.kind === 'missing') return false
  if (found.kind === 'redirect') redirect(res, path, query, found)
  else if (found.kind === 'listing') await sendListing(ask, found.folder, decoded === '/')
  else await answerFile(ask, found.file, lookedAt)
  return true
}

function redirect(res: FrontResponse, path: string, query: string, found: Found & { kind: 'redirect' }): void {
  const location = sameHostPath(path.slice(0, path.length - found.cut)) + found.add + query
  res.writeHead(301, { location, 'content-length': 0 })
  res.end()
}

async function sendListing({ req, res, folder }: FileAsk, path: string, isTop: boolean): Promise<void> {
  const page = Buffer.from(await folderPage(folder.root, path, isTop))
  res.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': page.byteLength,
    'cache-control': 'no-cache',
  })
  res.end(req.method === 'HEAD' ? undefined : page)
}

// ---- one file ---------------------------------------------------------------------------------------------------

async function answerFile(ask: FileAsk, file: string, lookedAt: number): Promise<void> {
  const { req, folder } = ask
  const codings = folder.precompressed ? await codingsOf(file, typeOf(file)) : []
  const coding = chooseCoding(req.headers['accept-encoding'], codings)
  try {
    await answerForm(ask, { file, coding, codings }, lookedAt)
  } catch (error) {
    // A compressed neighbour that may not be sent is as if it were not there.
    if (coding === undefined || ask.res.headersSent || ![403, 404].includes(statusOf(error))) throw error
    await answerForm(ask, { file, coding: undefined, codings }, lookedAt)
  }
}

async function answerForm({ req, res, folder }: FileAsk, form: FileForm, lookedAt: number): Promise<void> {
  const { file, coding, codings } = form
  const open: OpenFile = { fd: undefined }
  try {
    const head = await fileHead(req, folder.root, { file, coding, varies: codings.length > 0 }, open)
    head.headers['Cache-Control'] = folder.cacheControl(file)
    const hot = await warm(folder, form, { ...head, open, lookedAt })
    if (hot === undefined || !sendHot(req, res, hot)) await sendFile(res, req.method, head, open)
  } finally {
    if (open.fd !== undefined) closeFile(open.fd)
  }
}

/** A file that is open, and the head of its answer. */
interface OpenAnswer extends FileHead {
  open: OpenFile
  /** When looking for it began, as `performance.now()`. */
  lookedAt: number
}

/** Keeps a small file that is sent whole, or goes on keeping it. @returns undefined where it is not kept */
async function warm(
  folder: StaticFolder,
  form: FileForm,
  { status, headers, stat, open, lookedAt }: OpenAnswer,
): Promise<HotAnswer | undefined> {
  const { memory, id } = folder
  if (memory === undefined || stat.size > MAX_FILE_BYTES || open.fd === undefined) return undefined
  const known = memory.answerOf(id, form, stat)
  if (known === undefined && status !== 200) return undefined
  const readAt = Date.now()
  const bytes = known === undefined ? await readWhole(open, 0, stat.size) : undefined
  // It is being written: what is sent may be half of the new one, and must not be kept.
  if (bytes !== undefined && !isSame(await statFile(open.fd), stat)) return undefined
  const answer =
    bytes === undefined
      ? { ...(known as HotAnswer), at: lookedAt, isBeingChecked: false }
      : hotAnswer(headers, bytes, stat, { readAt, lookedAt })
  memory.keepAnswer(id, form, answer)
  return answer
}

/** The status for what reading met. */
function statusOf(error: unknown): number {
  if (error instanceof FileRefused) return error.status
  switch (errorCode(error)) {
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
