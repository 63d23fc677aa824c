/**
 * The pool as `vhostel status` prints it: each group, its processes, and what each thread does.
 */
import type { GroupStatus, ProcessStatus, ThreadStatus } from '../admin/reports.ts'
import { counted, memory } from '../advice/words.ts'
import { lasting } from './moments.ts'
import type { Cell, Style } from './output.ts'
import { columns, paint } from './output.ts'
import { ownerOf } from './troubles.ts'

const STATE_STYLES = {
  starting: 'cyan',
  ready: undefined,
  retiring: 'yellow',
  ended: 'dim',
} as const satisfies Record<ThreadStatus['state'], Style | undefined>

/** One group: a line for it, for each process, and for each thread. @param nowMs Unix time */
export function groupLines(group: GroupStatus, nowMs: number): string[] {
  const rows = columns(group.processes.flatMap(({ threads }) => threads.map((thread) => threadCells(thread, nowMs))))
  let next = 0
  const processes = group.processes.flatMap((process) => {
    const own = rows.slice(next, next + process.threads.length)
    next += own.length
    return [`  ${processText(process)}`, ...own.map((row) => `    ${row}`)]
  })
  return [`${paint('bold', groupName(group.name))}: ${sizeText(group)}`, ...processes]
}

/** `pool default`, `process of shop` */
export function groupName(group: string): string {
  const owner = ownerOf(group)
  return owner === undefined ? `pool ${group}` : `process of ${owner}`
}

/** `3 threads ready (2–8), 4 wanted`: the range only where it may change. */
function sizeText({ ready, size, least, most }: GroupStatus): string {
  const range = least === most ? '' : ` (${least}–${most})`
  const wanted = ready < size ? paint('yellow', `, ${size} wanted`) : ''
  return `${counted(ready, 'thread')} ready${range}${wanted}`
}

function processText({ pid, residentBytes }: ProcessStatus): string {
  return pid === undefined ? paint('red', 'process: down') : `process ${pid}${memoryText(residentBytes, ': ')}`
}

/** Empty before it was measured for the first time. */
export function memoryText(bytes: number, before = ''): string {
  return bytes === 0 ? '' : before + memory(bytes)
}

function threadCells(thread: ThreadStatus, nowMs: number): Cell[] {
  const { state, inFlight, requests, memoryBytes, sites } = thread
  return [
    { text: `thread ${thread.thread}` },
    { text: state, style: STATE_STYLES[state] },
    { text: `${inFlight.toLocaleString('en')} in flight` },
    { text: counted(requests, 'request') },
    { text: counted(sites.length, 'site') },
    { text: memoryText(memoryBytes) },
    { text: lateText(thread, nowMs), style: 'red' },
  ]
}

/** `late for 3 s, blocked by shop`, or `loading shop`; empty where it is not. */
export function lateText({ state, lateSince, keptBy, loading }: ThreadStatus, nowMs: number): string {
  if (lateSince === undefined || state === 'starting') return ''
  const late = `late for ${lasting(nowMs - lateSince)}`
  if (keptBy !== undefined && !loading.includes(keptBy)) return `${late}, blocked by ${keptBy}`
  const loads = keptBy ?? loading.join(', ')
  return loads === '' ? late : `${late}, loading ${loads}`
}
