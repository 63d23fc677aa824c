/**
 * Why a site's generation could not be loaded, as an error for those who asked for it.
 */
import { SiteLoadFailed } from '../core/errors.ts'
import type { LoadReport } from '../protocol/frames.ts'
import type { PoolSite } from './pool-site.ts'

/** @param report of a load that failed */
export function loadError(site: PoolSite, report: LoadReport): Error {
  const { file, line } = report.failure ?? {}
  const place =
    file === undefined ? (site.order?.module ?? 'its module') : line === undefined ? file : `${file}:${line}`
  return new SiteLoadFailed(site.name, place, reasonOf(report))
}

export function reasonOf(report: LoadReport): string {
  return report.failure?.message ?? 'unknown'
}
