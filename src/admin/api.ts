/**
 * The admin socket: what the command line asks a running server, over HTTP on a unix socket that only the server's owner
 * may use. Acts through the interface handed in and knows no other part.
 *
 * Six questions, so a table of them: a framework would take 5 MB of a server from its first `vhostel status` on (PSS after a
 * calm; Fastify 5.12, Node 24.21), and zod, which says what each question takes, is there for the INI files anyway.
 *
 * Limits: a body of 1 MB. Invariant: never listens on a network address; an error is answered as `{code, message}`, whatever
 * it is.
 */
import { z } from 'zod'
import { AdminQuestionInvalid, AdminQuestionUnknown } from '../core/errors.ts'
import { listenUnix } from '../core/listen-unix.ts'
import type { IncomingMessage, ServerResponse } from '../core/node-http.ts'
import { createServer } from '../core/node-http.ts'
import { readText } from './read-text.ts'
import type { AdminActions, PurgeReport, ReloadReport, StackReport } from './reports.ts'
import { unknownSite } from './unknown-site.ts'

/** What a question takes, from its query or as JSON in its body, and what answers it. */
interface Question {
  input: z.ZodType
  answer(actions: AdminActions, input: unknown): unknown
}

const MAX_BODY_BYTES = 1024 ** 2
/** Of a question that comes back in an error. */
const MAX_SHOWN = 200

/**
 * Opens the admin socket.
 *
 * @param socketPath absolute; a socket that an ended server left there is replaced
 * @throws VHOSTEL_SOCKET_PATH_TOO_LONG, VHOSTEL_ADDRESS_IN_USE (another server runs on this run folder)
 */
export async function startAdmin(actions: AdminActions, socketPath: string): Promise<AsyncDisposable> {
  const server = createServer((req, res) => {
    answerTo(actions, req).then(
      (answer) => reply(res, 200, answer),
      (error: Error & { code?: string; statusCode?: number }) =>
        reply(res, error.statusCode ?? 500, { code: error.code ?? 'INTERNAL', message: error.message }),
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

const QUESTIONS: Readonly<Record<string, Question>> = {
  'GET /status': question(z.object({}), (actions) => actions.status()),
  'GET /match': question(z.object({ url: z.string() }), (actions, { url }) => actions.match(url)),
  'GET /stack': question(z.object({ site: z.string() }), (actions, { site }) => stack(actions, site)),
  'GET /advice': question(z.object({ windowMs: z.coerce.number().min(1) }), (actions, { windowMs }) =>
    actions.advice(windowMs),
  ),
  'POST /reload': question(z.object({ site: z.string().optional() }), (actions, { site }) => reload(actions, site)),
  'POST /cache/purge': question(z.object({ site: z.string(), url: z.string().optional() }), (actions, { site, url }) =>
    purge(actions, site, url),
  ),
}

function question<Input>(input: z.ZodType<Input>, answer: (actions: AdminActions, input: Input) => unknown): Question {
  return { input, answer: (actions, checked) => answer(actions, checked as Input) }
}

/** @throws AdminQuestionUnknown, AdminQuestionInvalid, and what the action throws */
async function answerTo(actions: AdminActions, req: IncomingMessage): Promise<unknown> {
  const target = URL.parse(req.url ?? '', 'http://admin')
  const name = `${req.method} ${target?.pathname}`
  if (target === null || !Object.hasOwn(QUESTIONS, name)) {
    throw new AdminQuestionUnknown(`${req.method} ${req.url}`.slice(0, MAX_SHOWN))
  }
  const { input, answer } = QUESTIONS[name] as Question
  const given = req.method === 'POST' ? await bodyOf(req, name) : Object.fromEntries(target.searchParams)
  const { success, data, error } = input.safeParse(given)
  if (!success) throw new AdminQuestionInvalid(name, z.prettifyError(error))
  return answer(actions, data)
}

async function bodyOf(req: IncomingMessage, name: string): Promise<unknown> {
  // An iterator that ends early would end the connection with it, and the answer.
  const text = await readText(req.iterator({ destroyOnReturn: false }), MAX_BODY_BYTES)
  if (text === undefined) throw new AdminQuestionInvalid(name, `more than ${MAX_BODY_BYTES} bytes`)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new AdminQuestionInvalid(name, (error as Error).message)
  }
}

function reply(res: ServerResponse, status: number, answer: unknown): void {
  const text = JSON.stringify(answer)
  res.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  })
  res.end(text)
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
