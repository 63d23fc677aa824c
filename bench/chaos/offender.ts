/**
 * Visitors of the site that goes wrong: each asks for its path again and again and notes what it gets. Or a crowd, all at
 * once, from a process of its own, so that it costs the neighbours' visitors no time.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer, Fault } from './fault.ts'

/** What the visitors saw, and how often. */
export type Seen = Map<Answer, number>

const PAUSE_MS = 100
/** Until a visitor gives up: longer than the site's `timeout`. */
const PATIENCE_MS = 4_000

/** Visits a site until `signal`; who still waits for an answer then leaves, and saw nothing. */
export async function visitOffender(port: number, fault: Fault, signal: AbortSignal): Promise<Seen> {
  const seen: Seen = new Map()
  const host = `${fault.name}.test`
  if (fault.crowd !== undefined) return crowd(port, host, fault, signal)
  await Promise.all(
    fault.visits.map(async (path) => {
      while (!signal.aborted) {
        const answer = await visit({ port, host, path, bodyBytes: fault.bodyBytes ?? 0 }, signal)
        if (!signal.aborted) note(seen, answer)
        await delay(PAUSE_MS, undefined, { signal }).catch(() => {})
      }
    }),
  )
  return seen
}

interface Visited {
  port: number
  host: string
  path: string
  bodyBytes: number
}

function visit({ port, host, path, bodyBytes }: Visited, until: AbortSignal): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>()
  const signal = AbortSignal.any([until, AbortSignal.timeout(PATIENCE_MS)])
  let begun = false
  const lost = (): void => resolve(signal.aborted ? 'none' : begun ? 'cut' : 'reset')
  const asked = request({
    host: '127.0.0.1',
    port,
    path,
    agent: false,
    method: bodyBytes > 0 ? 'POST' : 'GET',
    headers: { host },
    signal,
  })
  asked.on('error', lost)
  asked.on('response', (response) => {
    begun = true
    response.resume()
    response.on('error', lost)
    response.on('end', () => resolve(response.statusCode ?? 0))
  })
  asked.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes) : undefined)
  return promise
}

/** So many visitors at once, each with a connection of its own, until `signal`. */
async function crowd(
  port: number,
  host: string,
  { crowd: size = 0, visits }: Fault,
  signal: AbortSignal,
): Promise<Seen> {
  const args = [String(port), host, visits[0] ?? '/', String(size)]
  const child = fork(join(import.meta.dirname, 'crowd.ts'), args)
  const stop = (): void => void child.send('stop')
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  const [seen] = (await once(child, 'message')) as [[Answer, number][]]
  await once(child, 'exit')
  return new Map(seen)
}

function note(seen: Seen, answer: Answer): void {
  seen.set(answer, (seen.get(answer) ?? 0) + 1)
}
