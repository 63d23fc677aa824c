/**
 * Folders that are mounted beside a site's own answers: GET and HEAD for a file that is there are answered with it, all
 * else goes on to who answers for the site.
 */
import { serveMounted } from './static-files.ts'
import type { StaticFolder } from './static-folder.ts'
import type { Step } from './visit.ts'

/** The step for one mount. @param prefix beginning of the path, without a slash at its end; '' for all paths */
export function mountStep(prefix: string, folder: StaticFolder): Step {
  return (visit, next) => {
    const { req, asked, upgrade } = visit
    const isRead = req.method === 'GET' || req.method === 'HEAD'
    if (!isRead || upgrade !== undefined || !isBelow(asked.target, prefix)) return next(visit)
    serveMounted(visit, folder, prefix, () => next(visit))
  }
}

/** By whole parts of the path: `/assets` is not the beginning of `/assets2`. */
export function isBelow(target: string, prefix: string): boolean {
  if (!target.startsWith(prefix)) return false
  const next = target[prefix.length]
  return next === '/' || next === '?' || next === undefined
}

/** A part `.` or `..`, also with what some servers take off its end (`..;x`). */
const DOT_PART = /\/\.\.?(?:;[^/]*)?(?:\/|$)/

/** Whether some server could take a target for one that is elsewhere than its beginning says (`/api/../admin`). */
export function leadsOut(target: string): boolean {
  const end = target.indexOf('?')
  const path = end === -1 ? target : target.slice(0, end)
  // Nearly all are told by one look.
  if (!path.includes('.') && !path.includes('%')) return false
  return DOT_PART.test(
    path
      .replace(/%2e/gi, '.')
      .replace(/%2f|%5c|\\/gi, '/')
      .replace(/%3b/gi, ';'),
  )
}
