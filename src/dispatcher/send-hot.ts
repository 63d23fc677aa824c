/**
 * Sends an answer that is in memory: the whole file, or that the client has it already. Other conditions and ranges need
 * the way over representation.ts. Runs for every request of a hot file, so it looks at each header at most once.
 */
import type { IncomingMessage } from 'node:http'
import type { FrontResponse } from './front-response.ts'
import type { HotAnswer } from './hot-files.ts'

/** @returns whether it was sent; if not, nothing was */
export function sendHot(req: IncomingMessage, res: FrontResponse, answer: HotAnswer): boolean {
  const { headers } = req
  const isOther =
    (headers.range !== undefined && req.method === 'GET') ||
    headers['if-match'] !== undefined ||
    headers['if-unmodified-since'] !== undefined
  if (isOther) return false
  const noneMatch = headers['if-none-match']
  const isConditional = noneMatch !== undefined || headers['if-modified-since'] !== undefined
  if (!isConditional) {
    res.writeRepeated(answer.head)
    if (req.method === 'HEAD') res.end()
    else if (typeof answer.body === 'string') res.end(answer.body, 'latin1')
    else res.end(answer.body)
    return true
  }
  const isKnown = noneMatch === undefined ? headers['if-modified-since'] === answer.modified : noneMatch === answer.etag
  if (!isKnown || headers['cache-control'] !== undefined) return false
  res.writeRepeated(answer.unchanged)
  res.end()
  return true
}
