/** The cache of a site before somebody who answers in its place, over a real socket. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { createServer } from '../../src/core/node-http.ts'
import { SiteCache } from '../../src/dispatcher/cache.ts'
import { ServerCache } from '../../src/dispatcher/cache-store.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import type { Visit } from '../../src/dispatcher/visit.ts'
import type { Reply } from './box.ts'
import { send } from './box.ts'

const MEGABYTE = 1024 * 1024
/** `[cache]` of the site. */
export const SETTINGS = { memoryBytes: MEGABYTE, largestBytes: MEGABYTE, clientControl: true, keep: false }

/** Asks for the page. */
export type Ask = (headers?: Record<string, string>, method?: string) => Promise<Reply>

/**
 * A server of one page with a cache before it.
 *
 * @param answer in the place of the site
 * @param onAsked called when a request has come to the cache
 * @returns asks for one and the same page
 */
export async function serveCached(
  t: TestContext,
  answer: (visit: Visit) => void,
  { compresses = false, onAsked = () => {} } = {},
): Promise<Ask> {
  const caches = new ServerCache(MEGABYTE)
  const cache = new SiteCache(caches, caches.open('a', SETTINGS), compresses)
  const server = createServer({ ServerResponse: FrontResponse }, (req, res) => {
    const asked = { host: 'a.test', target: req.url, authority: undefined }
    cache.handle({ req, res, asked, upgrade: undefined } as unknown as Visit, answer)
    onAsked()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return (headers = {}, method = 'GET') =>
    send({ host: '127.0.0.1', port, method, agent: false, headers: { host: 'a.test', ...headers } })
}
