/**
 * What answers for one site with one version of its settings: the steps that its visits go through, in their order, and
 * the kind at their end.
 *
 * Invariant: `config` never changes; other settings are another service, and the one before is closed once it is replaced.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import { SiteCache } from './cache.ts'
import type { ServerCache } from './cache-store.ts'
import { compressing } from './compress.ts'
import type { ModuleAnswers } from './module-answers.ts'
import { staticAnswers } from './static-files.ts'
import type { Answerer, Step } from './visit.ts'
import { through } from './visit.ts'

export interface SiteService {
  answer: Answerer
  /** Undefined where nothing is stored. */
  cache: SiteCache | undefined
  /** No new visits come; those that are under way are finished. */
  close(): void
}

/** What all services share. */
export interface ServiceParts {
  readonly modules: ModuleAnswers
  /** Stored answers of all sites. */
  readonly caches: ServerCache
}

/** Makes what answers for a site with these settings. */
export function createService(config: SiteConfig, parts: ServiceParts): SiteService {
  const cache = openCache(config, parts.caches)
  return { answer: through(stepsOf(config, cache), answererOf(config, parts)), cache, close: () => {} }
}

/** The site's cache with these settings; undefined, and nothing stored any more, where it has none. */
function openCache(config: SiteConfig, caches: ServerCache): SiteCache | undefined {
  if (config.cache === undefined) {
    caches.close(config.name)
    return undefined
  }
  return new SiteCache(caches, caches.open(config.name, config.cache), config.compress)
}

/** In the order in which a visit goes through them. */
function stepsOf(config: SiteConfig, cache: SiteCache | undefined): Step[] {
  const steps: Step[] = []
  // Before what compresses: what is stored is stored as the site made it, and compressed once for all.
  if (cache !== undefined) steps.push(cache.handle)
  if (config.compress) steps.push(compressing)
  return steps
}

function answererOf(config: SiteConfig, parts: ServiceParts): Answerer {
  switch (config.kind) {
    case 'module':
      return parts.modules.answer
    case 'static':
      return staticAnswers({ root: config.root, index: config.static.index })
    default:
      return config.kind satisfies never
  }
}
