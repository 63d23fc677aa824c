/**
 * What answers for one site with one version of its settings: the steps that its visits go through, in their order, and
 * the kind at their end.
 *
 * Invariant: `config` never changes; other settings are another service, and the one before is closed once it is replaced.
 */
import type { SiteConfig } from '../config/site-schema.ts'
import type { HotFiles } from './hot-files.ts'
import type { ModuleAnswers } from './module-answers.ts'
import { canonicalStep, redirectAnswers } from './redirects.ts'
import { staticAnswers } from './static-files.ts'
import type { SiteFolders } from './static-folder.ts'
import { siteFolders } from './static-folder.ts'
import { mountStep } from './static-mounts.ts'
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
  /** Small files of all sites. */
  readonly files: HotFiles
}

/** Makes what answers for a site with these settings. */
export function createService(config: SiteConfig, parts: ServiceParts): SiteService {
  const folders = siteFolders(config, parts.files)
  const answer = through(stepsOf(config, folders), answererOf(config, parts, folders))
  return { answer, close: () => folders.close() }
}

/** In the order in which a visit goes through them. */
function stepsOf({ canonical }: SiteConfig, folders: SiteFolders): Step[] {
  const steps: Step[] = []
  if (canonical !== undefined) steps.push(canonicalStep(canonical))
  for (const { prefix, folder } of folders.mounts) steps.push(mountStep(prefix, folder))
  return steps
}

function answererOf(config: SiteConfig, parts: ServiceParts, folders: SiteFolders): Answerer {
  switch (config.kind) {
    case 'module':
      return parts.modules.answer
    case 'static':
      return staticAnswers(folders.root)
    case 'redirect':
      return redirectAnswers(config.redirect)
    default:
      return config.kind satisfies never
  }
}
