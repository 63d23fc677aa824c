/**
 * What answers for one site with one version of its settings: the steps that its visits go through, in their order, and
 * the kind at their end.
 *
 * Invariant: `config` never changes; other settings are another service, and the one before is closed once it is replaced.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import type { AccessLogs } from './access-logs.ts'
import type { Backend, Backends } from './backends.ts'
import { SiteCache } from './cache.ts'
import type { ServerCache } from './cache-store.ts'
import type { Certificates } from './certificates.ts'
import { compressing } from './compress.ts'
import type { DoorKeeper } from './doors.ts'
import { doorSteps } from './doors.ts'
import type { FailureLog } from './failure-log.ts'
import type { HotFiles } from './hot-files.ts'
import type { SecurePort } from './https-only.ts'
import { httpsOnly } from './https-only.ts'
import type { ModuleAnswers } from './module-answers.ts'
import { canonicalStep, redirectAnswers } from './redirects.ts'
import { staticAnswers } from './static-files.ts'
import type { SiteFolders } from './static-folder.ts'
import { siteFolders } from './static-folder.ts'
import { isBelow, leadsOut, mountStep } from './static-mounts.ts'
import type { Answerer, Step, Visit } from './visit.ts'
import { through } from './visit.ts'

export interface SiteService {
  answer: Answerer
  /** Undefined where nothing is stored. */
  cache: SiteCache | undefined
  /** Set where another program answers: `kind = proxy` or `command`. */
  backend: Backend | undefined
  /** No new visits come; those that are under way are finished. */
  close(): void
}

/** What all services share. */
export interface ServiceParts {
  readonly modules: ModuleAnswers
  /** Stored answers of all sites. */
  readonly caches: ServerCache
  /** Small files of all sites. */
  readonly files: HotFiles
  readonly failures: FailureLog
  readonly access: AccessLogs
  readonly certificates: Certificates
  readonly securePort: SecurePort
  readonly backends: Backends
  readonly doors: DoorKeeper
}

/** Makes what answers for a site with these settings. */
export function createService(config: SiteConfig, parts: ServiceParts): SiteService {
  const folders = siteFolders(config, parts.files, parts.failures)
  const cache = openCache(config, parts.caches)
  const backend = config.backend === undefined ? undefined : parts.backends.open(config, config.backend)
  const answer = through(
    stepsOf(config, parts, { folders, cache }),
    backend === undefined ? answererOf(config, parts, folders) : byPath(config, backend, folders),
  )
  const close = (): void => {
    folders.close()
    backend?.close()
  }
  return { answer, cache, backend, close }
}

/** The site's cache with these settings; undefined, and nothing stored any more, where it has none. */
function openCache(config: SiteConfig, caches: ServerCache): SiteCache | undefined {
  if (config.cache === undefined) {
    caches.close(config.name)
    return undefined
  }
  return new SiteCache(caches, caches.open(config.name, config.cache), config.compress)
}

/** What of a service takes part in its steps. */
interface Stages {
  folders: SiteFolders
  cache: SiteCache | undefined
}

/** In the order in which a visit goes through them. */
function stepsOf(config: SiteConfig, parts: ServiceParts, { folders, cache }: Stages): Step[] {
  const steps = [
    parts.access.step(config),
    config.tls.httpsOnly ? httpsOnly(config, parts.certificates, parts.securePort) : undefined,
    // Behind https_only: nobody is to send a password in clear text.
    ...doorSteps(config.name, config.doors, parts.doors),
    config.canonical === undefined ? undefined : canonicalStep(config.canonical),
    // Before what compresses: what is stored is stored as the site made it, and compressed once for all.
    cache?.handle,
    config.compress ? compressing : undefined,
    ...folders.mounts.map(({ prefix, folder }) => mountStep(prefix, folder)),
  ]
  return steps.filter((step) => step !== undefined)
}

function answererOf(config: SiteConfig, parts: ServiceParts, folders: SiteFolders): Answerer {
  switch (config.kind) {
    case 'module':
      return parts.modules.answer
    case 'static':
      return filesOf(config, folders)
    case 'redirect':
      return redirectAnswers(config.redirect)
    case 'proxy':
    case 'command':
      throw new Error(`a site of kind = ${config.kind} has no backend`)
    default:
      return config.kind satisfies never
  }
}

function filesOf({ name }: SiteConfig, { root }: SiteFolders): Answerer {
  if (root === undefined) throw new Error(`site '${name}' has no folder`)
  return staticAnswers(root)
}

/** Who answers where a backend is only for some paths: files for all others. */
function byPath(config: SiteConfig, { answer }: Backend, folders: SiteFolders): Answerer {
  const { paths = [], stripsPath = false } = config.backend?.proxy ?? {}
  if (paths.length === 0) return answer
  const files = filesOf(config, folders)
  const longestFirst = paths.toSorted((a, b) => b.length - a.length)
  return (visit) => {
    const { target } = visit.asked
    const prefix = leadsOut(target) ? undefined : longestFirst.find((path) => isBelow(target, path))
    if (prefix === undefined) files(visit)
    else answer(stripsPath ? below(visit, prefix) : visit)
  }
}

/** The same visit without the beginning of its path; what is left begins with a slash. */
function below(visit: Visit, prefix: string): Visit {
  const rest = visit.asked.target.slice(prefix.length)
  return { ...visit, prefix, asked: { ...visit.asked, target: rest.startsWith('/') ? rest : `/${rest}` } }
}
