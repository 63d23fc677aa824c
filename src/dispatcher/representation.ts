/**
 * The head of the answer for one file, or for its compressed form: type, validators, conditions and ranges. Conditions, a
 * single range and dates are @fastify/send's; this file adds what the library leaves open: strong entity tags, with which
 * parts of a file can be put together (If-Range, RFC 9110 §13.1.5), a tag of its own for each compressed form, and several
 * ranges (byte-ranges.ts).
 *
 * Invariant: the descriptor that is given out is of a file in the root, and is the file that the head tells of.
 */
import type { Stats } from 'node:fs'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isUtf8MimeType, mime, send } from '@fastify/send'
import type { RangeWish } from './byte-ranges.ts'
import { readRanges } from './byte-ranges.ts'
import { entityTags } from './header-fields.ts'
import { FileRefused, openInside } from './open-inside.ts'
import type { Coding } from './precompressed.ts'

/** What is sent for a path. */
export interface Representation {
  /** The file as it was asked for, which gives the type. */
  file: string
  /** In which form it is sent; undefined for as it is. */
  coding: Coding | undefined
  /** Whether there are other forms, so that caches have to tell them apart. */
  varies: boolean
}

/** A descriptor, once there is one. Whoever made this closes it. */
export interface OpenFile {
  fd: number | undefined
}

/** What came of the conditions and the ranges of a request. */
export interface FileHead {
  status: number
  headers: Record<string, string>
  /** Of the file that was opened. */
  stat: Stats
  /** What the body is of; `whole` for all of it, `none` for none. */
  wish: RangeWish
}

/**
 * Opens a file and makes the head of its answer.
 *
 * @param open gets the descriptor, also where this throws
 * @throws FileRefused for what is not sent, with 412 and 416 too; what the system says
 */
export async function fileHead(
  req: IncomingMessage,
  root: string,
  { file, coding, varies }: Representation,
  open: OpenFile,
): Promise<FileHead> {
  const sent = { ...req.headers }
  let seen: Stats | undefined
  let wish: RangeWish = 'whole'
  const found = await send(viewOf(req, sent), escaped(file + (coding?.suffix ?? '')), {
    contentType: false,
    dotfiles: 'allow', // file-path.ts has seen to them: the library knows no exception for .well-known
    onFile: async (name, stat) => {
      open.fd = await openInside(root, name, stat)
      seen = stat
      wish = adapt(sent, stat, coding, req.method)
    },
  })
  if (found.type === 'error') throw refusal(found.statusCode, found.metadata.error, seen)
  if (found.type === 'directory' || seen === undefined) throw new FileRefused(503, true)
  const headers: Record<string, string> = { ...found.headers, ETag: tagOf(seen, coding) }
  if (found.statusCode !== 304) headers['Content-Type'] = typeOf(file)
  if (found.statusCode !== 304 && coding !== undefined) headers['Content-Encoding'] = coding.name
  if (varies) headers.Vary = 'Accept-Encoding'
  return { status: found.statusCode, headers, stat: seen, wish: found.statusCode === 304 ? 'none' : wish }
}

/** Strong, as nginx has it: size and date change with the file. Each compressed form has its own. */
function tagOf(stat: Stats, coding: Coding | undefined): string {
  return `"${opaqueTag(stat)}${coding === undefined ? '' : `-${coding.name}`}"`
}

/** The Content-Type of a file by its name: JavaScript's is that of RFC 9239, and what has none is not to be guessed. */
export function typeOf(file: string): string {
  const type = mime.getType(file)
  if (type === null) return 'application/octet-stream'
  const plain = isUtf8MimeType(type) || type === 'application/javascript' ? `${type}; charset=utf-8` : type
  return plain.replace('application/javascript', 'text/javascript')
}

// ---- between the request and the library -------------------------------------------------------------------------

/** As @fastify/send writes it, without `W/` and quotes. */
function opaqueTag(stat: Stats): string {
  return `${stat.size.toString(16)}-${stat.mtime.getTime().toString(16)}`
}

/** As HEAD, for the library would open the file by its name, after all checks. */
function viewOf(req: IncomingMessage, headers: IncomingHttpHeaders): IncomingMessage {
  return Object.create(req, { method: { value: 'HEAD' }, headers: { value: headers } })
}

/** The library decodes what it is given. */
function escaped(path: string): string {
  return path.replaceAll('%', '%25')
}

/** Puts tags and ranges as the library understands them. @returns what the body is to be of */
function adapt(headers: IncomingHttpHeaders, stat: Stats, coding: Coding | undefined, method?: string): RangeWish {
  const tag = tagOf(stat, coding)
  const known = `W/"${opaqueTag(stat)}"`
  const { 'if-none-match': noneMatch, 'if-match': match } = headers
  if (noneMatch !== undefined) headers['if-none-match'] = translated(noneMatch, [tag, `W/${tag}`], known)
  if (match !== undefined) headers['if-match'] = translated(match, [tag], known)
  const { range } = headers
  delete headers.range
  // RFC 9110 §14.2: a range is defined for GET only.
  if (range === undefined || method === 'HEAD' || !isCurrent(headers['if-range'], tag, stat)) return 'whole'
  delete headers['if-range']
  const wish = readRanges(range, stat.size)
  if (wish === 'none') headers.range = `bytes=${stat.size}-`
  else if (wish !== 'whole' && wish.length === 1) headers.range = `bytes=${wish[0]?.start}-${wish[0]?.end}`
  return wish
}

/** A tag that no file has. */
const NO_TAG = '"-"'

/** A list of entity tags as the one that the library makes, where one of ours is among them. */
function translated(list: string, ours: readonly string[], known: string): string {
  if (list.trim() === '*') return '*'
  return entityTags(list).some((one) => ours.includes(one)) ? known : NO_TAG
}

/** RFC 9110 §13.1.5: only the very same tag or date will do, or parts of two versions would be put together. */
function isCurrent(ifRange: string | string[] | undefined, tag: string, stat: Stats): boolean {
  return ifRange === undefined || ifRange === tag || ifRange === stat.mtime.toUTCString()
}

/** What the library refused: its 403 is for a path, its 500 for anything that it met on the way and did not expect. */
function refusal(status: number, error: Error, seen: Stats | undefined): Error {
  if (status === 500) return error
  const range = status === 416 && seen !== undefined ? { 'content-range': `bytes */${seen.size}` } : {}
  return new FileRefused(status === 403 ? 404 : status, false, range)
}
