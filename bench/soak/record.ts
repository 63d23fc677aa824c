/**
 * What was asked and what came of it, what happened meanwhile, and which of the first the second does not excuse. Pure.
 *
 * Invariants that are held: an answer is the right one, byte for byte, of the right site; it is never of an older code or INI
 * file than was in service when it was asked for; a POST runs at most once; a request ends; a request fails only
 * where something happened that may cost it.
 */
import type { Ask } from './sites.ts'

/** `ok`, a status, `cut` after the head, `reset` before it, `none` within the patience, `left` by the visitor's own will. */
export type Outcome = 'ok' | 'wrong' | number | 'cut' | 'reset' | 'none' | 'left'

export interface Visit {
  id: string
  site: string
  ask: Ask
  /** HTTP/2. */
  isSecond: boolean
  /** By `performance.now()`. */
  from: number
  to: number
  outcome: Outcome
  /** The mark of the answer, where there was one. */
  mark: string | undefined
  /** The least marks that were due when it was sent. */
  floor: Floor
  /** What is wrong, or what the system said. */
  detail: string
}

export interface Floor {
  code: number
  ini: number
}

/** Something that happened, and what it may cost. */
export interface Event {
  what: string
  /** Undefined: all. */
  site: string | undefined
  /**
   * `loss`: threads or processes end; what may not be run again, and what had begun to be answered, may be lost. `down`: the site may
   * be away. `all`: nothing is promised. `broken`: its code on the disk does not work. `restart`: the server ends, and another is
   * started: nobody is there meanwhile, and WebSockets and event streams end at once, but what was asked before is answered.
   * `stand-in`: another site answers for those that are away.
   */
  cost: 'loss' | 'down' | 'broken' | 'restart' | 'stand-in' | 'all'
  from: number
  /** Undefined: lasts. */
  to: number | undefined
}

/** How long after it an event may still be felt. */
const AFTERMATH_MS = 3_000
const LOST: ReadonlySet<Outcome> = new Set([502, 503, 'cut', 'reset'])
/** Of who meets no server, or one that ends. */
const UNMET: ReadonlySet<Outcome> = new Set(['cut', 'reset', 503])
const ENDLESS: ReadonlySet<Ask> = new Set(['socket', 'hold', 'sse'])
/** From when a request is sent until the server has it, at most. */
const ARRIVES_WITHIN_MS = 1_000
const AWAY: ReadonlySet<Outcome> = new Set([421, 502, 503, 504, 'cut', 'reset'])

export class Record {
  readonly visits: Visit[] = []
  readonly events: Event[] = []
  readonly problems: string[] = []

  /** Notes that something begins. @returns to be called when it is over */
  begin(what: string, cost: Event['cost'], site?: string): () => void {
    const event: Event = { what, site, cost, from: performance.now(), to: undefined }
    this.events.push(event)
    return () => {
      event.to = performance.now()
    }
  }

  problem(text: string): void {
    const line = `${Math.round(performance.now())} ms: ${text}`
    this.problems.push(line)
    console.log(`PROBLEM ${line}`)
  }
}

/** @param mayFail sites whose visitors may see any trouble @returns a line for each visit that is not excused */
export function judge(
  { visits, events }: Record,
  mayFail: ReadonlySet<string>,
  mayBeRated: ReadonlySet<string>,
): string[] {
  return visits.flatMap((visit) => {
    const problem = problemOf(visit, events, mayFail.has(visit.site), mayBeRated.has(visit.site))
    if (problem === undefined) return []
    const { id, site, ask, isSecond, from, to, outcome, detail, mark } = visit
    const when = `${Math.round(from)}-${Math.round(to)} ms`
    return [
      `${problem}: ${site} ${ask} ${id}${isSecond ? ' (h2)' : ''} at ${when}: ${outcome} ${detail} [${mark ?? ''}]`,
    ]
  })
}

/** Whether a site that was away may have had its visitor answered by `default_site`. */
export function mayStandIn(visit: Visit, events: readonly Event[]): boolean {
  const felt = events.filter((event) => isFelt(event, visit))
  return felt.some(({ cost }) => cost === 'stand-in') && felt.some(({ cost }) => cost === 'down')
}

function problemOf(visit: Visit, events: readonly Event[], mayFail: boolean, mayBeRated: boolean): string | undefined {
  const { outcome, mark, floor, site } = visit
  if (outcome === 'wrong') return 'a wrong answer'
  if (mayStandIn(visit, events)) return undefined
  const felt = events.filter((event) => isFelt(event, visit))
  if (mark !== undefined) {
    const [name, code, ini] = mark.split('/')
    if (name !== site) return 'an answer of another site'
    const isAside = visit.ask === 'file' && !site.endsWith('files')
    if (!isAside && (Number(code) < floor.code || Number(ini) < floor.ini))
      return `older than ${floor.code}/${floor.ini}`
  }
  if (outcome === 'ok' || outcome === 'left' || (outcome === 429 && mayBeRated)) return undefined
  if (felt.some(({ cost }) => cost === 'all')) return undefined
  if (outcome === 'none') return 'no end'
  if (mayFail) return undefined
  if (felt.some((event) => event.cost === 'restart' && mayMeetRestart(visit, event))) return undefined
  if (felt.some(({ cost }) => cost === 'down') && AWAY.has(outcome)) return undefined
  const isLoss = felt.some(({ cost }) => cost === 'loss')
  if (isLoss && felt.some(({ cost }) => cost === 'broken') && AWAY.has(outcome)) return undefined
  if (isLoss && LOST.has(outcome) && mayBeLost(visit)) return undefined
  return 'failed'
}

/** What may not be run again, or had begun to be answered. */
function mayBeLost({ ask, outcome }: Visit): boolean {
  return outcome === 'cut' || ask === 'post' || ask === 'echo' || ask === 'socket' || ask === 'hold'
}

/** Who comes when it ends, or holds on to what does not end by itself. */
function mayMeetRestart({ ask, outcome, from }: Visit, event: Event): boolean {
  if (!UNMET.has(outcome)) return false
  return ENDLESS.has(ask) || from > event.from - ARRIVES_WITHIN_MS
}

function isFelt({ site, from, to }: Event, visit: Visit): boolean {
  if (site !== undefined && site !== visit.site) return false
  return from <= visit.to && (to === undefined || to + AFTERMATH_MS >= visit.from)
}

/** @param journal lines `ran ID PLACE` */
export function ranTwice(journal: string): string[] {
  const seen = new Set<string>()
  return [...journal.matchAll(/^ran (\S+) (\S+)$/gm)].flatMap(([, id = '', place = '']) => {
    if (!seen.has(id)) return seen.add(id) && []
    return [`${id} ran twice, the second time in ${place}`]
  })
}
