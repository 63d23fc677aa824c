/**
 * Asks a running server over its admin socket. The only file of the command line that opens a connection.
 *
 * Limits: each question has its time and each answer its size. Invariant: an error that the server answers with arrives
 * here as an Error with the same `code` and `message`.
 */
import { statSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { dirname, join } from 'node:path'
import { userName } from '../config/identity.ts'
import type { AdviceSnapshot } from '../core/advice-report.ts'
import { isDenied, ownUser } from '../core/denied.ts'
import { AdminAnswerInvalid, AdminDenied, AdminTimeout, NotRunning } from '../core/errors.ts'
import { request } from '../core/node-http.ts'
import { MAX_SOCKET_PATH_BYTES } from '../core/socket-path.ts'
import { readText } from './read-text.ts'
import type { MatchReport, PurgeReport, ReloadReport, StackReport, StatusReport } from './reports.ts'

/** Every method throws VHOSTEL_NOT_RUNNING, VHOSTEL_ADMIN_DENIED, VHOSTEL_ADMIN_TIMEOUT, VHOSTEL_ADMIN_ANSWER_INVALID. */
export interface AdminClient {
  status(): Promise<StatusReport>
  /** Resolves when every new generation is in service or refused. @throws VHOSTEL_SITE_UNKNOWN */
  reload(site?: string): Promise<ReloadReport>
  match(url: string): Promise<MatchReport>
  /** What runs in the threads of a site now. @throws VHOSTEL_SITE_UNKNOWN */
  stack(site: string): Promise<StackReport>
  /** Forgets stored answers of a site. @throws VHOSTEL_SITE_UNKNOWN */
  purge(site: string, url?: string): Promise<PurgeReport>
  /** What was recorded of the last `windowMs`. */
  advice(windowMs: number): Promise<AdviceSnapshot>
}

/** Name of the admin socket in the run folder. */
export const ADMIN_SOCKET = 'admin.sock'

/** A question that costs the server nothing. */
const ANSWERED_AT_ONCE = '/match?url=localhost'

/** How long an answer may take. */
export interface AdminTimeouts {
  /** Of what is at hand: it only has to wait for the event loop of a server that starts thousands of sites. */
  statusMs: number
  /** Of a reload: it loads sites, each within its own `start_timeout`, as many at a time as there are threads. */
  reloadMs: number
}

const TIMEOUTS: AdminTimeouts = { statusMs: 15_000, reloadMs: 600_000 }
/** 100,000 sites, the most that a sites folder may have, at 5 KB each. */
const MAX_ANSWER_BYTES = 512 * 1024 ** 2

/** A client for the server that runs, if one does, on this run folder. Connects at each question anew. */
export function adminClient(runFolder: string, { statusMs, reloadMs } = TIMEOUTS): AdminClient {
  const get = <T>(path: string): Promise<T> => ask(runFolder, { method: 'GET', path, timeoutMs: statusMs })
  const post = <T>(path: string, timeoutMs: number, body: object): Promise<T> =>
    ask(runFolder, { method: 'POST', path, timeoutMs, body })
  return {
    status: () => get('/status'),
    reload: async (site) => {
      // Whether it answers at all is known soon, and not when the time of a reload is over.
      await get(ANSWERED_AT_ONCE)
      return post('/reload', reloadMs, { site })
    },
    match: (url) => get(`/match?url=${encodeURIComponent(url)}`),
    advice: (windowMs) => get(`/advice?windowMs=${windowMs}`),
    purge: (site, url) => post('/cache/purge', statusMs, { site, url }),
    stack: (site) => get(`/stack?site=${encodeURIComponent(site)}`),
  }
}

/** What `question` resolves with, or undefined where no server is running. */
export async function ifRunning<T>(question: Promise<T>): Promise<T | undefined> {
  try {
    return await question
  } catch (error) {
    if ((error as { code?: unknown }).code === 'VHOSTEL_NOT_RUNNING') return undefined
    throw error
  }
}

interface Question {
  method: 'GET' | 'POST'
  path: string
  timeoutMs: number
  /** Sent as JSON. */
  body?: object
}

async function ask<T>(runFolder: string, asked: Question): Promise<T> {
  const { timeoutMs } = asked
  const question = `${asked.method} ${asked.path}`
  const socketPath = join(runFolder, ADMIN_SOCKET)
  // No server can have it; `check` and `serve` say what to do.
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES) throw new NotRunning(runFolder)
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await send(socketPath, asked, signal)
    const text = await readText(response as AsyncIterable<Buffer>, MAX_ANSWER_BYTES)
    if (text === undefined) throw new AdminAnswerInvalid(question, `more than ${MAX_ANSWER_BYTES} bytes`)
    return readAnswer<T>(question, response.statusCode ?? 0, text)
  } catch (error) {
    if (signal.aborted) throw new AdminTimeout(question, timeoutMs)
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') throw new NotRunning(runFolder)
    if (isDenied(code)) throw new AdminDenied(socketPath, ownersOf(socketPath), ownUser())
    // The server ended in the middle of its answer.
    if (code === 'ECONNRESET' || code === 'EPIPE') throw new NotRunning(runFolder)
    if (code?.startsWith('HPE_')) throw new AdminAnswerInvalid(question, 'it does not speak HTTP')
    throw error
  }
}

/** Who may open a socket: the server made it, and its folder, which may be all that can be looked at. */
function ownersOf(socketPath: string): string {
  for (const path of [socketPath, dirname(socketPath)]) {
    try {
      const { uid } = statSync(path)
      return uid === 0 ? 'root' : `user ${userName(uid)} and root`
    } catch {}
  }
  return 'the user that the server runs as, and root'
}

function send(socketPath: string, { method, path, body }: Question, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const req = request({ socketPath, method, path, headers, signal, agent: false }, resolve)
    req.on('error', reject)
    req.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function readAnswer<T>(question: string, status: number, text: string): T {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new AdminAnswerInvalid(question, `status ${status}, ${JSON.stringify(text.slice(0, 100))}`)
  }
  if (status === 200) return value as T
  const { code, message } = value as { code?: unknown; message?: unknown }
  if (typeof code !== 'string' || typeof message !== 'string')
    throw new AdminAnswerInvalid(question, `status ${status}`)
  throw Object.assign(new Error(message), { code })
}
