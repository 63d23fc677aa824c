/**
 * The admin socket: what the command line asks a running server, over HTTP on a unix socket that only the server's owner
 * may use. Acts through the interface handed in and knows no other part.
 *
 * Fastify is loaded with the first question: a server that nobody asks anything is spared 11 MB and 0.2 s of its start
 * (measured, Fastify 5.12 on Node 24).
 *
 * Invariant: never listens on a network address; an error is answered as `{code, message}`, whatever it is.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listenUnix } from '../core/listen-unix.ts'
import { createServer } from '../core/node-http.ts'
import type { AdminActions, PurgeReport, ReloadReport, StackReport } from './reports.ts'
import { unknownSite } from './unknown-site.ts'

type Handle = (req: IncomingMessage, res: ServerResponse) => void

/**
 * Opens the admin socket.
 *
 * @param socketPath absolute; a socket that an ended server left there is replaced
 * @throws VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_ADDRESS_IN_USE (another server runs on this run folder)
 */
export async function startAdmin(actions: AdminActions, socketPath: string): Promise<AsyncDisposable> {
  let routes: Promise<Handle> | undefined
  const server = createServer((req, res) => {
    routes ??= buildRoutes(actions)
    routes.then(
      (handle) => handle(req, res),
      () => {
        // The package is not whole, as while another version is installed: nothing can be said in its words, and it is tried again.
        routes = undefined
        res.destroy()
      },
    )
  })
  await listenUnix(server, socketPath)
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function buildRoutes(actions: AdminActions): Promise<Handle> {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.get('/status', () => actions.status())
  app.post<{ Body: { site?: string } }>('/reload', { schema: RELOAD }, ({ body }) => reload(actions, body.site))
  app.get<{ Querystring: { url: string } }>('/match', { schema: MATCH }, ({ query }) => actions.match(query.url))
  app.get<{ Querystring: { site: string } }>('/stack', { schema: STACK }, ({ query }) => stack(actions, query.site))
  app.post<{ Body: { site: string; url?: string } }>('/cache/purge', { schema: PURGE }, ({ body }) =>
    purge(actions, body.site, body.url),
  )
  app.get<{ Querystring: { windowMs: number } }>('/advice', { schema: ADVICE }, ({ query }) =>
    actions.advice(query.windowMs),
  )
  app.setErrorHandler<Error & { code?: string; statusCode?: number }>((error, _request, reply) =>
    reply.code(error.statusCode ?? 500).send({ code: error.code ?? 'INTERNAL', message: error.message }),
  )
  app.setNotFoundHandler(({ method, url }, reply) =>
    reply.code(404).send({ code: 'NOT_FOUND', message: `${method} ${url} is not a question of this version` }),
  )
  await app.ready()
  return (req, res) => app.routing(req, res)
}

/** Reads everything again. A name that is in no file of the sites folder is a mistake of whoever asks. */
async function reload(actions: AdminActions, site: string | undefined): Promise<ReloadReport> {
  const report = await actions.reload(site)
  if (site === undefined || report.sites.length > 0) return report
  throw unknownSite(site, namesOf(actions))
}

/** What runs in the threads of a site; of one whose file is refused, nothing does. */
function stack(actions: AdminActions, site: string): Promise<StackReport> {
  checkSite(actions, site)
  return actions.stack(site)
}

/** Forgets what is stored of a site. A site that stores nothing has nothing to forget. */
function purge(actions: AdminActions, site: string, url: string | undefined): PurgeReport {
  checkSite(actions, site)
  return actions.purge(site, url)
}

/** @throws VHOSTEL_SITE_UNKNOWN for a name that no site has */
function checkSite(actions: AdminActions, site: string): void {
  const names = namesOf(actions)
  if (!names.includes(site)) throw unknownSite(site, names)
}

function namesOf(actions: AdminActions): string[] {
  return actions.status().sites.map(({ name }) => name)
}

const RELOAD = {
  body: { type: 'object', properties: { site: { type: 'string' } }, additionalProperties: false },
}
const PURGE = {
  body: {
    type: 'object',
    properties: { site: { type: 'string' }, url: { type: 'string' } },
    required: ['site'],
    additionalProperties: false,
  },
}
const MATCH = { querystring: { type: 'object', properties: { url: { type: 'string' } }, required: ['url'] } }
const STACK = { querystring: { type: 'object', properties: { site: { type: 'string' } }, required: ['site'] } }
const ADVICE = {
  querystring: { type: 'object', properties: { windowMs: { type: 'number', minimum: 1 } }, required: ['windowMs'] },
}
