/**
 * What the commands print: plain lines, in columns where there are several of a kind. Results go to standard output,
 * complaints to standard error; colours only where the stream is a terminal (and NO_COLOR is not set).
 */
import { styleText } from 'node:util'
import { EXIT } from './exit-codes.ts'

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan'

export interface Cell {
  text: string
  style?: Style | undefined
}

const GAP = '  '

/** A line of the result. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`)
}

/** A line about what is wrong. */
export function complain(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** What a program reads: one JSON document, its keys as documented in docs/cli.md. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2))
}

/** Colours a text for standard output, if that is a terminal. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** Lines of one table: every column as wide as its widest cell. The last column is not padded. */
export function columns(rows: readonly (readonly Cell[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, { text }] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, text.length)
  }
  return rows.map((row) =>
    row
      .map((cell, index) => padded(cell, widths[index] ?? 0))
      .join(GAP)
      .trimEnd(),
  )
}

function padded({ text, style }: Cell, width: number): string {
  const blanks = ' '.repeat(width - text.length)
  return (style === undefined ? text : paint(style, text)) + blanks
}

/** A text that came from a site's code: its line ends and control characters would be obeyed by a terminal. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ')
}

/**
 * A reader that goes away (`vhostel list | head`) is not a failure: what is printed after that is lost, and nothing else. A result
 * that cannot be written (a full disk) is one, with exit code 1.
 */
export function heedBrokenOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isReaderGone(error)) return
    process.stdout.removeAllListeners('error').on('error', () => {})
    complain(`vhostel: standard output cannot be written: ${error.message}`)
    process.once('exit', (code) => {
      if (code === EXIT.ok) process.exitCode = EXIT.wrong
    })
  })
  // There is nowhere to say it.
  process.stderr.on('error', () => {})
}

function isReaderGone({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EPIPE' || code === 'EIO'
}
