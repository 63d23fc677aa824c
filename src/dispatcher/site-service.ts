/**
 * What answers for one site with one version of its settings: the steps that its visits go through, in their order, and
 * the kind at their end.
 *
 * Invariant: `config` never changes; other settings are another service, and the one before is closed once it is replaced.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import type { Backend, Backends } from './backends.ts'
import type { ModuleAnswers } from './module-answers.ts'
import { staticAnswers } from './static-files.ts'
import type { Answerer, Step } from './visit.ts'
import { through } from './visit.ts'

export interface SiteService {
  answer: Answerer
  /** Set where another program answers: `kind = proxy` or `command`. */
  backend: Backend | undefined
  /** No new visits come; those that are under way are finished. */
  close(): void
}

/** What all services share. */
export interface ServiceParts {
  readonly modules: ModuleAnswers
  readonly backends: Backends
}

/** Makes what answers for a site with these settings. */
export function createService(config: SiteConfig, parts: ServiceParts): SiteService {
  const backend = config.backend === undefined ? undefined : parts.backends.open(config)
  const answer = through(stepsOf(config), backend?.answer ?? answererOf(config, parts))
  return { answer, backend, close: () => backend?.close() }
}

/** In the order in which a visit goes through them. */
function stepsOf(_config: SiteConfig): Step[] {
  return []
}

function answererOf(config: SiteConfig, parts: ServiceParts): Answerer {
  switch (config.kind) {
    case 'module':
      return parts.modules.answer
    case 'static':
      return staticAnswers({ root: config.root, index: config.static.index })
    case 'proxy':
    case 'command':
      throw new Error(`a site of kind = ${config.kind} has no backend`)
    default:
      return config.kind satisfies never
  }
}
