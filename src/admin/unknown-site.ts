/**
 * What is said of a site's name that no site has: the same words wherever somebody asks for it.
 */
import { nearest } from '../config/suggest.ts'
import { SiteUnknown } from '../core/errors.ts'

/** VHOSTEL_SITE_UNKNOWN, with the name that was probably meant. @param known the names that there are */
export function unknownSite(name: string, known: Iterable<string>): Error {
  const meant = nearest(name, known)
  return new SiteUnknown(name, meant === undefined ? '' : `; did you mean ${meant}?`)
}
