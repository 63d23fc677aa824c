/**
 * The server's log: pino's lines, as JSON for machines or as text for a person at a terminal. One line says one thing: a
 * constant sentence with fields, so that it can be searched.
 *
 * Limit: nothing here waits for a slow reader; pino's destination buffers.
 */
import { styleText } from 'node:util'
import type { DestinationStream, Logger } from 'pino'
import { destination, pino } from 'pino'

export type Log = Logger

export interface LogSettings {
  level: 'debug' | 'info' | 'warn' | 'error'
  /** `auto`: text where the output is a terminal, else JSON. */
  format: 'auto' | 'text' | 'json'
  /** Absolute path; undefined writes to standard error. */
  file?: string | undefined
}

/** Opens the log. @throws when `file` cannot be opened for appending */
export function openLog(settings: LogSettings): Log {
  const target = destination({ dest: settings.file ?? 2, append: true, mkdir: true, sync: false })
  const text = settings.format === 'text' || (settings.format === 'auto' && !settings.file && process.stderr.isTTY)
  const colour = text && !settings.file && process.stderr.isTTY
  const stream: DestinationStream = text ? { write: (line) => target.write(toText(line, colour)) } : target
  return pino({ level: settings.level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, stream)
}

const LEVELS: Record<number, ['dim' | 'green' | 'yellow' | 'red', string]> = {
  20: ['dim', 'debug'],
  30: ['green', 'info '],
  40: ['yellow', 'warn '],
  50: ['red', 'error'],
  60: ['red', 'fatal'],
}

/** `12:30:01 info  blog  generation is live  generation=3` */
function toText(line: string, colour: boolean): string {
  const { time, level, msg, site, err, stack, ...fields } = JSON.parse(line) as Record<string, unknown>
  const [style, name] = LEVELS[Number(level)] ?? ['dim', String(level)]
  const parts = [String(time).slice(11, 19), colour ? styleText(style, name) : name]
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
