/**
 * Answers with a site's own page for what is not there (`not_found`), or with the ordinary one where it has none, or where
 * the page itself cannot be read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { look } from './find-file.ts'
import { closeFile, openInside } from './open-inside.ts'
import type { OpenFile } from './representation.ts'
import { typeOf } from './representation.ts'
import { sendError } from './send-error.ts'
import { readWhole } from './send-file.ts'
import type { StaticFolder } from './static-folder.ts'

/** Larger ones are not sent: an error page that costs more than pages do is a mistake. In bytes. */
const MAX_PAGE_BYTES = 1024 * 1024

/** Never throws and never rejects. */
export async function sendNotFoundPage(req: IncomingMessage, res: ServerResponse, folder: StaticFolder): Promise<void> {
  if (res.destroyed) return
  const page =
    folder.notFound === undefined ? undefined : await readPage(folder.root, join(folder.root, folder.notFound))
  if (page === undefined || folder.notFound === undefined) return sendError(req, res, { statusCode: 404 })
  res.writeHead(404, {
    'content-type': typeOf(folder.notFound),
    'content-length': page.byteLength,
    'cache-control': 'no-store',
  })
  res.end(req.method === 'HEAD' ? undefined : page)
}

/** @returns undefined where it cannot be read, for whatever reason: the visitor is told 404 in any case */
async function readPage(root: string, path: string): Promise<Buffer | undefined> {
  const file: OpenFile = { fd: undefined }
  try {
    const stat = await look(path)
    if (stat === undefined || stat.size > MAX_PAGE_BYTES) return undefined
    file.fd = await openInside(root, path, stat)
    return await readWhole(file, 0, stat.size)
  } catch {
    return undefined
  } finally {
    if (file.fd !== undefined) closeFile(file.fd)
  }
}
