/**
 * Does what a request wants done, at once or later: a fault of ours must cost one request, never the server and with it all
 * sites, and never leave a client without an answer.
 *
 * Invariant: whatever goes on with a request from a timer, an event or a promise, where nobody up the stack would hear of an
 * error, does so through here.
 */
import type { IncomingMessage } from 'node:http'
import type { FrontResponse } from './front-response.ts'
import { sendError } from './send-error.ts'

/** Does the work, and answers the request where that fails. */
export function attempt(req: IncomingMessage, res: FrontResponse, work: () => void): void {
  try {
    work()
  } catch (error) {
    answerFault(req, res, error)
  }
}

/** Tells the log of a fault of ours, and answers its request: with 500, or, in the middle of an answer, by its end. */
export function answerFault(req: IncomingMessage, res: FrontResponse, error: unknown): void {
  res.server?.log?.error({ err: error, method: req.method, url: req.url }, 'handling a request failed')
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  try {
    sendError(req, res, { statusCode: 500, closes: true })
  } catch {
    // What stands between an answer and its client is what fails.
    res.destroy()
  }
}
