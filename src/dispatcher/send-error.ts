/**
 * Answers a request with an error page made by the dispatcher itself: one place where a status, its page and its headers
 * are joined.
 *
 * Invariant: the page says what a visitor may know; file names, site names and stacks go to the log only.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pageOf } from '../config/error-pages.ts'
import type { ErrorPage } from './error-page.ts'
import { errorPage } from './error-page.ts'
import { FrontResponse } from './front-response.ts'
import { closeAfter } from './linger.ts'

/** What `Retry-After` says with a 503, in seconds, where nothing better is known. */
const RETRY_AFTER_SECONDS = 1

/** What sites can be asked, for `Allow` where nobody knows better. */
export const SITE_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** What can be answered: any of our errors, or a bare status. `closes`: the connection is of no further use. */
export interface Answerable {
  statusCode?: number
  code?: string
  closes?: boolean
  retryAfterSeconds?: number
}

/** Ends the response with the page of `error.statusCode` (500 without one). The head must not have been sent. */
export function sendError(req: IncomingMessage, res: ServerResponse, error: Error | Answerable): void {
  const { statusCode = 500, code, closes = false, retryAfterSeconds = RETRY_AFTER_SECONDS } = error as Answerable
  const { type, body } = ownPage(res, statusCode) ?? errorPage(statusCode, req.headers.accept, code)
  const headers: Record<string, string | number> = {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  }
  if (statusCode === 503 || statusCode === 429) headers['retry-after'] = retryAfterSeconds
  if (statusCode === 405 && !res.hasHeader('allow')) headers.allow = SITE_METHODS
  if (closes) {
    // Not as a header: what a filter makes of the head must not take it away.
    res.shouldKeepAlive = false
    closeAfter(req)
  }
  res.sendDate = true
  res.writeHead(statusCode, headers)
  res.end(req.method === 'HEAD' ? undefined : body)
}

function ownPage(res: ServerResponse, status: number): ErrorPage | undefined {
  if (!(res instanceof FrontResponse)) return undefined
  return pageOf(res.errorPages, status) ?? pageOf(res.server?.errorPages, status)
}
