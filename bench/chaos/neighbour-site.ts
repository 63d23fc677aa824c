/**
 * The sites beside the one that goes wrong. Each answers the same four kinds of request, and uses what all sites of a
 * thread share: its environment, its working directory, a file, timers, an array, the `http` module.
 *
 * `GET /get/ID` answers at once, `/wait/ID` after 20 ms and a file that a helper thread reads, `/stream/ID` in five parts over 100 ms; `POST /post/ID` reads its
 * body. What must not run twice is written to the journal as it begins: `ran ID PROCESS/THREAD`.
 */

export const WAIT_MS = 20
export const STREAM_PARTS = 5
export const STREAM_PAUSE_MS = 20
export const PAGE = 'a page of the neighbour'

/** How a site's module is written; in turn, so that every kind of adapter has some. */
const SHAPES = ['handler', 'listen', 'fastify'] as const

export interface NeighbourSite {
  name: string
  /** Its files, the first of them the module. */
  files: Record<string, string>
}

/** So many sites, `neighbour1` and on. */
export function neighbourSites(count: number): NeighbourSite[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `neighbour${index + 1}`
    return { name, files: filesOf(name, SHAPES[index % SHAPES.length] ?? 'handler') }
  })
}

function filesOf(name: string, shape: (typeof SHAPES)[number]): Record<string, string> {
  const common = { 'handler.mjs': handler(name), 'page.txt': PAGE }
  switch (shape) {
    case 'handler':
      return { 'site.mjs': "export { default } from './handler.mjs'\n", ...common }
    case 'listen':
      return { 'site.mjs': LISTENING, ...common }
    case 'fastify':
      return { 'site.mjs': PLUGIN, ...common }
    default:
      return shape satisfies never
  }
}

const LISTENING = `import { createServer } from 'node:http'
import handler from './handler.mjs'
createServer(handler).listen(3000)
`

const PLUGIN = `import handler from './handler.mjs'
export default async (fastify) => {
  fastify.addContentTypeParser('*', (request, payload, done) => done(null))
  fastify.all('/*', (request, reply) => {
    reply.hijack()
    try {
      handler(request.raw, reply.raw)
    } catch (error) {
      reply.raw.writeHead(500).end(String(error))
    }
  })
}
`

function handler(name: string): string {
  return `import { appendFileSync, readFile, readFileSync } from 'node:fs'
import { threadId } from 'node:worker_threads'

const place = process.pid + '/' + threadId

function ran(id) {
  appendFileSync(process.env.JOURNAL, 'ran ' + id + ' ' + place + '\\n')
}

export default function handle(request, response) {
  const [kind, id] = request.url.split('/').slice(1).map(String)
  const page = readFileSync('page.txt', 'utf8')
  response.setHeader('x-place', place)
  const answer = (more) => response.end(['${name}', id, page, more].join(' '))
  if (kind === 'get') return answer('')
  if (kind === 'wait') return void setTimeout(() => readFile('page.txt', () => answer('')), ${WAIT_MS})
  ran(id)
  if (kind === 'stream') return stream(response, id)
  let bytes = 0
  request.on('data', (chunk) => { bytes += chunk.length })
  request.on('end', () => answer(bytes))
}

function stream(response, id) {
  let part = 0
  const timer = setInterval(() => {
    if (++part === ${STREAM_PARTS}) clearInterval(timer)
    if (part < ${STREAM_PARTS}) response.write(id + '\\n')
    else response.end(id + '\\n')
  }, ${STREAM_PAUSE_MS})
  response.on('close', () => clearInterval(timer))
}
`
}
