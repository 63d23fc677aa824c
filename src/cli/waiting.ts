/**
 * What a command says while a running server loads sites for it: nobody should sit before a silent terminal until a
 * `start_timeout` is over.
 *
 * Invariant: it is said on standard error, once, and never after the answer.
 */
import { join } from 'node:path'
import type { AdminClient } from '../admin/client.ts'
import type { SiteStatus } from '../admin/reports.ts'
import { loadSite } from '../config/load-site.ts'
import { formatDuration } from '../config/measures.ts'
import type { ServerConfig } from '../config/server-schema.ts'
import { complain } from './output.ts'

/** Most sites are loaded by then. */
const PATIENCE_MS = 1_500

/** Waits for an answer; when that takes long, says what for. @param reason asked for then; without one nothing is said */
export async function patiently<T>(answer: Promise<T>, reason: () => Promise<string>): Promise<T> {
  let isAnswered = false
  const say = (line: string): void => {
    if (!isAnswered) complain(line)
  }
  // The answer says what is wrong, if something is.
  const timer = setTimeout(() => void reason().then(say, () => {}), PATIENCE_MS)
  try {
    return await answer
  } finally {
    isAnswered = true
    clearTimeout(timer)
  }
}

/** Why a site is not ready yet, as the server knows it. @param client of the server that loads it */
export async function reasonToWait(name: string, settings: ServerConfig, client: AdminClient): Promise<string> {
  const { sites } = await client.status()
  const what = loadingOf(sites.find((site) => site.name === name))
  if (what === undefined) return `${name}: waiting for the server, which is busy`
  const limits = loadSite(join(settings.sites, `${name}.ini`), settings).config?.limits
  const most = limits === undefined ? '' : `; [limits] start_timeout is ${formatDuration(limits.startTimeoutMs)}`
  return `${name}: waiting for ${what}${most}. 'vhostel status ${name}' shows more`
}

function loadingOf(site: SiteStatus | undefined): string | undefined {
  if (site?.kind === 'module') return 'its module to load'
  return site?.kind === 'command' ? 'its program to listen' : undefined
}
