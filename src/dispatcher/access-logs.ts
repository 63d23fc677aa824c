/**
 * The access logs: the one of all sites, and those of single sites. Whoever has none pays for the ids of requests only.
 */
import type { IncomingMessage } from 'node:http'
import type { AccessFormat } from '../config/log-schema.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { LogFiles } from '../core/log-files.ts'
import { addRequestId } from '../core/request-id.ts'
import type { AccessEntry } from './access-format.ts'
import { formatEntry } from './access-format.ts'
import type { AccessSink } from './access-record.ts'
import { AccessRecord } from './access-record.ts'
import type { FrontResponse } from './front-response.ts'
import type { Step, Upgrade } from './visit.ts'

class AccessFile implements AccessSink {
  readonly #files: LogFiles
  readonly #path: string
  readonly #format: AccessFormat

  constructor(files: LogFiles, path: string, format: AccessFormat) {
    this.#files = files
    this.#path = path
    this.#format = format
  }

  write(entry: AccessEntry): void {
    this.#files.write(this.#path, formatEntry(entry, this.#format))
  }
}

export class AccessLogs {
  readonly #files: LogFiles
  readonly #all: AccessSink | undefined

  /** @param all the log of all sites; without a file there is none */
  constructor(files: LogFiles, all: { file?: string | undefined; format: AccessFormat }) {
    this.#files = files
    this.#all = all.file === undefined ? undefined : new AccessFile(files, all.file, all.format)
  }

  /** Whether there is a log of all sites. */
  get isOfAll(): boolean {
    return this.#all !== undefined
  }

  /** A request has come; from here on it is known, whatever becomes of it. */
  open(req: IncomingMessage, res: FrontResponse, upgrade: Upgrade | undefined): void {
    if (this.#all === undefined) return
    res.access = new AccessRecord(req, res, upgrade?.socket)
    res.access.sinks.push(this.#all)
  }

  /** What the parser refuses is in the log of all sites too. */
  refused(entry: AccessEntry): void {
    this.#all?.write(entry)
  }

  /** The step of a site's visits that tells of them, or gives them ids; undefined where nobody wants to know. */
  step({ name, kind, log }: SiteConfig): Step | undefined {
    const own = log.access === undefined ? undefined : new AccessFile(this.#files, log.access, log.format)
    if (own !== undefined || this.#all !== undefined) return recordStep(name, own)
    if (kind === 'static' || kind === 'redirect') return undefined
    // There is no line of the request, but the site is to know its id, and the lines that it writes are to be told apart.
    return (visit, next) => {
      addRequestId(visit.req)
      next(visit)
    }
  }
}

function recordStep(site: string, own: AccessSink | undefined): Step {
  return (visit, next) => {
    const { req, res, upgrade, asked } = visit
    res.access ??= new AccessRecord(req, res, upgrade?.socket)
    const { access } = res
    access.site = site
    access.host = asked.host
    if (own !== undefined) access.sinks.push(own)
    next(visit)
  }
}
