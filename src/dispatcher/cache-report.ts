/**
 * What is said of stored answers over the admin socket, and how some of them are forgotten.
 */
import type { CacheStatus, PurgeReport } from '../admin/reports.ts'
import type { ServerCache, SiteStore } from './cache-store.ts'

export function cacheStatus(store: SiteStore): CacheStatus {
  return { urls: store.urls, bytes: store.bytes, ...store.counters }
}

/** Forgets stored answers of a site; none where it stores nothing. @param url as in `AdminActions.purge` */
export function purgeReport(caches: ServerCache, site: string, url: string | undefined): PurgeReport {
  const store = caches.find(site)
  if (store === undefined) return { site, urls: 0, bytes: 0 }
  const before = store.bytes
  const urls = store.purge(url === undefined ? undefined : meansUrl(url))
  return { site, urls, bytes: before - store.bytes }
}

/** Whether a key, `scheme://host/target` and what is behind a line's end, is one of those that are meant. */
function meansUrl(url: string): (key: string) => boolean {
  const isPrefix = url.endsWith('*')
  const text = isPrefix ? url.slice(0, -1) : url
  // Scheme and host have no letter case (RFC 9110 §4.2.3).
  const [, origin, target = text] = /^([a-z]+:\/\/[^/]*)(.*)$/i.exec(text) ?? []
  const wanted = `${origin?.toLowerCase() ?? ''}${target === '' && !isPrefix ? '/' : target}`
  return (key) => {
    const own = key.split('\n', 1)[0] as string
    const found = origin === undefined ? own.slice(own.indexOf('/', own.indexOf('//') + 2)) : own
    return isPrefix ? found.startsWith(wanted) : found === wanted
  }
}
