/**
 * The error logs of sites: what a site writes to console and standard error, and what vhostel warns of it. A site without
 * a file of its own writes to the server's log.
 *
 * Invariant: each entry begins with its time; the further lines of one begin with blanks, and no line has a control
 * character that a terminal would obey.
 */
import type { SiteLogConfig } from '../config/log-schema.ts'
import type { Log } from '../core/log.ts'
import type { LogFiles } from '../core/log-files.ts'
import type { LogLevel } from '../protocol/frames.ts'

const LEVELS = { out: 'info', err: 'error', warn: 'warn', fatal: 'error' } as const satisfies Record<
  LogLevel,
  'info' | 'error' | 'warn'
>
/** Of pino. */
const ERROR = 50

export class SiteErrorLog {
  readonly #files: LogFiles
  readonly #settingsOf: (site: string) => SiteLogConfig | undefined

  /** @param settingsOf a site's settings in force */
  constructor(files: LogFiles, settingsOf: (site: string) => SiteLogConfig | undefined) {
    this.#files = files
    this.#settingsOf = settingsOf
  }

  /**
   * Takes what a site wrote.
   *
   * @param site undefined where it is not known whose it is
   * @param request the id of the request whose code wrote it
   */
  written(log: Log, site: string | undefined, level: LogLevel, text: string, request: string | undefined): void {
    const settings = site === undefined ? undefined : this.#settingsOf(site)
    const name = LEVELS[level]
    if (settings?.error === undefined) {
      log[name](request === undefined ? { site } : { site, request }, text)
      return
    }
    const time = new Date().toISOString()
    if (settings.format === 'json') this.#writeJson(settings.error, { time, level: name, request, msg: text })
    else this.#writeText(settings.error, time, name, request === undefined ? text : `[${request}] ${text}`)
  }

  /** Takes what vhostel warned of a site. @param line of the server's log, in JSON */
  warned(site: string, line: string): void {
    const settings = this.#settingsOf(site)
    if (settings?.error === undefined) return
    const { time, level, site: _, msg, ...more } = JSON.parse(line) as Record<string, unknown>
    const name = Number(level) >= ERROR ? 'error' : 'warn'
    if (settings.format === 'json') {
      return this.#writeJson(settings.error, { time, level: name, by: 'vhostel', ...more, msg })
    }
    const fields = Object.entries(more).map(
      ([key, value]) => `  ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    )
    this.#writeText(settings.error, String(time), name, `vhostel: ${msg}${fields.join('')}`)
  }

  #writeJson(path: string, fields: Record<string, unknown>): void {
    this.#files.write(path, `${JSON.stringify(fields)}\n`)
  }

  #writeText(path: string, time: string, level: string, text: string): void {
    this.#files.write(path, `${time} ${level.padEnd(5)} ${shown(text)}\n`)
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

function shown(text: string): string {
  const safe = text.replace(CONTROL, (one) => `\\x${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
  return safe.replaceAll('\n', '\n    ')
}
