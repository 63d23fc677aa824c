/**
 * `vhostel advise`: what size the pool should have, what it could do, and which sites stand out; from what the running
 * server recorded, or from an access log of another server. The server only hands out what it recorded: the reckoning is
 * done here, in a process that nobody waits for.
 */
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Command } from 'commander'
import { InvalidArgumentError, Option } from 'commander'
import { adminClient } from '../admin/client.ts'
import type { AccessLogOptions, AccessLogResult, Lines } from '../advice/access-log.ts'
import { readAccessLog } from '../advice/access-log.ts'
import { advise } from '../advice/advice.ts'
import type { TimeUnit } from '../advice/log-line.ts'
import { readMemory } from '../advice/memory.ts'
import { MAX_WINDOW_MS } from '../advice/recorder.ts'
import type { AdviceOptions, AdviceReport } from '../advice/report.ts'
import { counted } from '../advice/words.ts'
import { duration, formatDuration } from '../config/measures.ts'
import type { AdviceSnapshot } from '../core/advice-report.ts'
import { thisMachine } from '../pool/sizing.ts'
import { adviceLines } from './advice-text.ts'
import { settingsOf } from './configuration.ts'
import { EXIT } from './exit-codes.ts'
import { complain, print, printJson } from './output.ts'

interface Options {
  window?: number
  from?: string
  maxWait: number
  cpuShare?: number
  concurrency: number
  timeUnit?: TimeUnit
  json?: boolean
}

const DEFAULT_WINDOW_MS = 3_600_000
const DEFAULT_MAX_WAIT_MS = 50
/** As [pool] concurrency is by default. */
const DEFAULT_CONCURRENCY = 500
const QUANTILE = 0.99

/** Adds `vhostel advise` to the program. */
export function addAdvise(program: Command): void {
  program
    .command('advise')
    .description('Say what size the pool should have, what it could do, and which sites stand out.')
    .option('--window <duration>', 'how far back to look, at most 1d (default: 1h; of a log 1d)', readWindow)
    .option('--from <file>', 'read an access log instead of asking the server; - is standard input, *.gz is unpacked')
    .addOption(
      new Option('--max-wait <duration>', 'wait for a thread that 99 of 100 requests should not exceed')
        .argParser(readDuration)
        .default(DEFAULT_MAX_WAIT_MS, formatDuration(DEFAULT_MAX_WAIT_MS)),
    )
    .option('--cpu-share <percent>', 'of a log: how much of their time requests compute; without it, all', readPercent)
    .addOption(
      new Option('--concurrency <number>', 'of a log: requests that one thread would have at a time')
        .argParser(readWhole)
        .default(DEFAULT_CONCURRENCY),
    )
    .addOption(new Option('--time-unit <unit>', 'of a log: unit of its request times').choices(['s', 'ms', 'us']))
    .option('--json', 'print all figures as JSON')
    .addHelpText('after', HELP)
    .action(async (options: Options, command: Command) => {
      process.exitCode =
        options.from === undefined ? await fromServer(options, command) : await fromLog(options.from, options)
    })
}

async function fromServer(options: Options, command: Command): Promise<number> {
  const snapshot = await adminClient(settingsOf(command).run).advice(options.window ?? DEFAULT_WINDOW_MS)
  show(await reportOf(snapshot, options), options.json === true)
  return EXIT.ok
}

async function fromLog(file: string, options: Options): Promise<number> {
  const result = await readLog(file, {
    site:
      file === '-'
        ? 'all'
        : basename(file)
            .replace(/\.gz$/, '')
            .replace(/\.log$/, ''),
    windowMs: options.window ?? MAX_WINDOW_MS,
    machine: thisMachine(),
    ...(options.timeUnit !== undefined && { unit: options.timeUnit }),
  })
  if (result === undefined) return EXIT.wrong
  const { snapshot, ...lines } = result
  for (const complaint of complaints(file, result)) complain(complaint)
  if (snapshot === undefined) {
    complain(`${file}: no line could be used`)
    return EXIT.wrong
  }
  show(await reportOf(snapshot, options), options.json === true, { log: lines })
  return EXIT.ok
}

async function reportOf(snapshot: AdviceSnapshot, { maxWait, cpuShare, concurrency }: Options): Promise<AdviceReport> {
  const workers = new Map(snapshot.processes.map(({ pid, rssBytes }) => [pid, rssBytes]))
  const options: AdviceOptions = { maxWaitMs: maxWait, quantile: QUANTILE, concurrency }
  if (cpuShare !== undefined) options.cpuShare = cpuShare
  return advise(snapshot, await readMemory(snapshot.pid, workers), options)
}

function show(report: AdviceReport, json: boolean, more: object = {}): void {
  if (json) printJson({ ...report, ...more })
  else for (const line of adviceLines(report)) print(line)
}

// ---- access logs -----------------------------------------------------------------------------------------------

/** @returns undefined for a file that cannot be unpacked to its end, and that is told */
async function readLog(file: string, options: AccessLogOptions): Promise<AccessLogResult | undefined> {
  try {
    return await readAccessLog(openLog(file), options)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    if (!code.startsWith('Z_')) throw error
    complain(`vhostel: ${file} cannot be unpacked to its end, so nothing of it was used: ${message}`)
    return undefined
  }
}

function openLog(file: string): Readable {
  if (file === '-') return process.stdin
  const bytes = createReadStream(file)
  // An error of either arrives at the reader of the second.
  return file.endsWith('.gz') ? pipeline(bytes, createGunzip(), () => {}) : bytes
}

const HOW_TO_TIME =
  'put $request_time (nginx) or %D (Apache) at the end of the log format; of vhostel, use format = timed, vhost_timed or json'

function complaints(file: string, { lines, garbage, timeless, elsewhere, early }: AccessLogResult): string[] {
  const some = (kind: Lines, what: string): string[] =>
    kind.count === 0
      ? []
      : [
          `${file}:${kind.first}: ${what} (${kind.count} of ${counted(lines, 'line')}, left out): ${JSON.stringify(kind.text)}`,
        ]
  return [
    ...some(garbage, 'is neither a line of the combined log format nor JSON with known names'),
    ...some(timeless, `has no request time; ${HOW_TO_TIME}`),
    ...some(elsewhere, 'is of a request that reached no thread (a file, a redirect, a refusal, another server)'),
    ...some(early, 'is more than a minute earlier than a line before it'),
  ]
}

// ---- options ---------------------------------------------------------------------------------------------------

function readDuration(text: string): number {
  const read = duration(1).safeParse(text)
  if (read.success) return read.data
  throw new InvalidArgumentError(read.error.issues[0]?.message ?? 'is not a duration')
}

function readWindow(text: string): number {
  return Math.min(readDuration(text), MAX_WINDOW_MS)
}

function readPercent(text: string): number {
  const value = /^(\d{1,3}(?:\.\d{1,3})?) ?%?$/.exec(text)?.[1]
  if (value === undefined || Number(value) > 100) throw new InvalidArgumentError('not a percentage, such as 25%')
  return Number(value) / 100
}

function readWhole(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('not a whole number from 1 to 999999')
  return Number(text)
}

const HELP = `
Finds the size by replaying the recorded requests through a model of the pool (docs/advice.md).

With --from, the log is one of vhostel's own (format = timed, vhost_timed or json), or of another server in the combined format
with the request time at the end of each line, or in JSON with nginx's names or Caddy's. The host in front is optional. For nginx:
  log_format timed '$host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
                   '"$http_referer" "$http_user_agent" $request_time';

Exit codes: 0 all is well, 1 no server is running, or the log cannot be used, 78 there is no vhostel.ini.

Examples:
  $ vhostel advise --window 6h
  $ vhostel advise --from /var/log/nginx/access.log --cpu-share 25%
  $ vhostel advise --json | jq -r '.remarks[]'`
