/**
 * What answers for one site with one version of its settings: the steps that its visits go through, in their order, and
 * the kind at their end.
 *
 * Invariant: `config` never changes; other settings are another service, and the one before is closed once it is replaced.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import type { DoorKeeper } from './doors.ts'
import { doorSteps } from './doors.ts'
import type { ModuleAnswers } from './module-answers.ts'
import { staticAnswers } from './static-files.ts'
import type { Answerer, Step } from './visit.ts'
import { through } from './visit.ts'

export interface SiteService {
  answer: Answerer
  /** No new visits come; those that are under way are finished. */
  close(): void
}

/** What all services share. */
export interface ServiceParts {
  readonly modules: ModuleAnswers
  readonly doors: DoorKeeper
}

/** Makes what answers for a site with these settings. */
export function createService(config: SiteConfig, parts: ServiceParts): SiteService {
  return { answer: through(stepsOf(config, parts), answererOf(config, parts)), close: () => {} }
}

/** In the order in which a visit goes through them. */
function stepsOf(config: SiteConfig, parts: ServiceParts): Step[] {
  return doorSteps(config.name, config.doors, parts.doors)
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
