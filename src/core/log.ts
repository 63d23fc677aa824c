/**
 * The server's log: pino's lines, as JSON for machines or as text for a person at a terminal. One line says one thing: a
 * constant sentence with fields, so that it can be searched.
 *
 * Limit: nothing here waits for a slow reader: standard error is written by standard-error.ts, a file by log-files.ts.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { styleText } from 'node:util'
import type { DestinationStream, Logger } from 'pino'
import { pino, symbols } from 'pino'
import { LogNotOpened } from './errors.ts'
import { OPEN_FLAGS, OPEN_MODE } from './log-file.ts'
import type { LogFiles, LogTrouble } from './log-files.ts'
import { StandardError } from './standard-error.ts'

export type Log = Logger

export interface LogSettings {
  level: 'debug' | 'info' | 'warn' | 'error'
  /** `auto`: text where the output is a terminal, else JSON. */
  format: 'auto' | 'text' | 'json'
  /** Absolute path; undefined writes to standard error. */
  file?: string | undefined
}

/** Hears of each warning and error that is about one site. @param line in JSON, with its line feed */
export type OnSiteLine = (site: string, line: string) => void

/** pino says what each line is made of to a stream that wants to know. */
interface Described extends DestinationStream {
  [symbols.needsMetadataGsym]: true
  lastLevel?: number
  lastObj?: unknown
}

/**
 * Opens the log.
 *
 * @throws VHOSTEL_LOG_NOT_OPENED when `file` cannot be opened for appending
 */
export function openLog(settings: LogSettings, files: LogFiles, onSiteLine: OnSiteLine): Log {
  const { file, format, level } = settings
  const target: DestinationStream =
    file === undefined ? new StandardError() : { write: (line) => files.write(file, line) }
  if (file !== undefined) tryToOpen(file)
  const text = format === 'text' || (format === 'auto' && !file && process.stderr.isTTY)
  const colour = text && !file && process.stderr.isTTY
  const stream: Described = {
    [symbols.needsMetadataGsym]: true,
    write(line) {
      target.write(text ? toText(line, colour) : line)
      const site = (stream.lastObj as { site?: unknown } | null | undefined)?.site
      if (typeof site === 'string' && Number(stream.lastLevel) >= WARN) onSiteLine(site, line)
    },
  }
  const log = pino({ level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, stream)
  files.onTrouble = (trouble) => tellTrouble(log, trouble, file)
  return log
}

const WARN = 40

/** A name that is wrong is told at the start. */
function tryToOpen(file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true })
    closeSync(openSync(file, OPEN_FLAGS, OPEN_MODE))
  } catch (error) {
    throw new LogNotOpened(file, (error as Error).message)
  }
}

const TROUBLES = {
  failing: 'a log file cannot be written; its lines are kept as far as there is room, then dropped',
  slow: 'a log file is written more slowly than its lines come; some were dropped',
  over: 'a log file is written again',
} as const satisfies Record<LogTrouble['kind'], string>

/** @param ownFile of the server's log: what is wrong with that is told on standard error */
function tellTrouble(log: Log, { kind, path, dropped, reason }: LogTrouble, ownFile: string | undefined): void {
  const fields = { file: path, dropped, ...(reason === undefined ? {} : { reason }) }
  log[kind === 'over' ? 'info' : 'warn'](fields, TROUBLES[kind])
  if (path === ownFile) process.stderr.write(`vhostel: ${TROUBLES[kind]} ${JSON.stringify(fields)}\n`)
}

const LEVELS: Record<number, ['dim' | 'green' | 'yellow' | 'red', string]> = {
  20: ['dim', 'debug'],
  30: ['green', 'info '],
  40: ['yellow', 'warn '],
  50: ['red', 'error'],
  60: ['red', 'fatal'],
}

/** `2026-10-10T12:30:01.078Z  info  blog  generation is live  generation=3`; who looks on at a terminal knows the day. */
function toText(line: string, colour: boolean): string {
  const { time, level, msg, site, err, stack, ...fields } = JSON.parse(line) as Record<string, unknown>
  const [style, name] = LEVELS[Number(level)] ?? ['dim', String(level)]
  const parts = [colour ? String(time).slice(11, 19) : String(time), colour ? styleText(style, name) : name]
  if (site !== undefined) parts.push(colour ? styleText('bold', String(site)) : String(site))
  parts.push(String(msg ?? ''))
  for (const [key, value] of Object.entries(fields)) parts.push(`${key}=${plain(value)}`)
  const trace = stack ?? (err as { stack?: string } | undefined)?.stack
  return `${parts.join('  ')}\n${trace === undefined ? '' : `${indent(String(trace))}\n`}`
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ')
}
