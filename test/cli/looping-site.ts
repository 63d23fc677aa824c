/**
 * A visitor of a site that never comes back from its code, for as long as a test wants to look at it.
 */
import { request } from 'node:http'
import type { Box, SiteFixture } from '../helpers/box.ts'

/** Answers, and loops at `/loop`; its thread is not ended while a test looks at it. */
export const LOOP: SiteFixture = {
  files: {
    'app.mjs': `export default function answer(request) {
  if (request.url.endsWith('/loop')) spin()
  return new Response('hello')
}
function spin() {
  while (true) {}
}`,
  },
  more: '[limits]\nhard_limit = 1m\n',
}

/** Visits the site until `seen`, and then leaves: a request that is open would keep the server from its end. */
export async function loopUntil(box: Box, site: string, what: string, seen: () => Promise<boolean>): Promise<void> {
  const headers = { host: `${site}.test` }
  const req = request({ host: '127.0.0.1', port: box.port, path: '/loop', headers, agent: false })
  // It never gets an answer.
  req.on('error', () => {})
  req.end()
  try {
    await box.waitFor(what, seen)
  } finally {
    req.destroy()
  }
}
