/** What the server wrote: a line for each answer, and no warning that nothing explains. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Record } from './record.ts'
import { mayStandIn } from './record.ts'
import type { Ask } from './sites.ts'
import { SITES } from './sites.ts'

/** pino's number of the level. */
const WARN = 40
/** What has no id of its own in its path, or no answer. */
const UNCOUNTED: ReadonlySet<Ask> = new Set(['cached', 'file', 'socket', 'hold', 'pipeline'])

interface AccessLine {
  target: string
  status: number
  site?: string
}

interface ServerLine {
  level: number
  time: string
  msg: string
  site?: string
  why?: string
  reason?: string
}

/** What a run does to a server, in its own words; what offenders do is always explained. */
const EXPLAINED = [
  /^sites run as root;/,
  /^a setting was changed that takes effect at the next start$/,
  /^(thread|worker process|command) ended$/,
  /^worker process (stands still and is killed|is replaced: a thread of it cannot be ended)$/,
  /^thread (goes on|retires: it takes nothing new, another takes its place|is terminated: its site does not give it back)$/,
  /^site (keeps its thread|did harm)$/,
  /^sites are separated until it is known which it was$/,
  // Programs are killed, and take their sockets with them, also while they start.
  /^(the socket of the command is gone|command did not come up)$/,
  /^upstream failed$/,
  /^request failed$|^more requests failed in the same second$/,
  /^generation was refused$/,
  // Hono tells of a client that leaves.
  /^DOMException \[AbortError\]: The request was aborted: /,
  /^(sites-enabled\/|vhostel\.ini)/,
]

/** Each answer that a visitor had whole is there once, with its status. */
export function checkAccessLog(folder: string, record: Record): void {
  const found = new Map<string, number[]>()
  for (const { target, status, site } of lines<AccessLine>(folder, 'access')) {
    // A site may have had another name for a while.
    const key = `${site?.replace(/-renamed$/, '')} ${target.split('/')[2] ?? ''}`
    found.set(key, [...(found.get(key) ?? []), status])
  }
  for (const visit of record.visits) {
    const { id, site, outcome, ask } = visit
    if (mayStandIn(visit, record.events)) continue
    const status = outcome === 'ok' ? (site === 'sent-on' ? 301 : 200) : outcome
    // A host that is nobody's is not in the name of a site.
    if (UNCOUNTED.has(ask) || typeof status !== 'number' || status === 421) continue
    const statuses = found.get(`${site} ${id}`) ?? []
    if (statuses.length !== 1 || statuses[0] !== status)
      record.problem(`access log: ${site} ${ask} ${id}: [${statuses}] instead of ${status}`)
  }
}

/** Every warning and error is of a sort that something in the run explains. */
export function checkServerLog(folder: string, record: Record): void {
  const offenders = new Set(SITES.filter(({ isOffender }) => isOffender).map(({ name }) => name))
  const unexplained = new Map<string, number>()
  for (const { level, msg, site, why, reason, ...more } of lines<ServerLine>(folder, 'vhostel')) {
    if (level < WARN || (site !== undefined && offenders.has(site))) continue
    if (EXPLAINED.some((pattern) => pattern.test(msg))) continue
    const key = `${site ?? ''} ${msg} ${why ?? reason ?? JSON.stringify(more)}`.slice(0, 600)
    unexplained.set(key, (unexplained.get(key) ?? 0) + 1)
  }
  for (const [line, times] of unexplained) record.problem(`log, ${times} times: ${line}`)
}

function lines<T>(folder: string, name: string): T[] {
  const files = readdirSync(join(folder, 'log')).filter((file) => file.startsWith(name))
  return files.flatMap((file) =>
    readFileSync(join(folder, 'log', file), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as T),
  )
}
