/**
 * What a site's INI file says of compressing and storing its answers.
 */
import type { z } from 'zod'
import { size } from './measures.ts'
import { section, setting } from './settings.ts'
import { flag } from './units.ts'

/** Keys of [site]. */
export const deliveryKeys = {
  compress: setting(
    flag,
    'yes',
    'Compress text (HTML, CSS, JavaScript, JSON, SVG, …) of 1 KB or more with zstd, br or gzip, as the ' +
      'client accepts.',
  ),
  cache: setting(
    flag,
    'no',
    'Store answers that allow it (`Cache-Control: max-age=…`, `s-maxage=…`, `Expires`) and send them to ' +
      'other visitors too. See [Caching](caching.md#caching).',
  ),
}

/** [cache] of a site. */
export const cacheSection = section('The cache of a site with `cache = on`.', {
  memory: setting(
    size,
    '64MB',
    'Memory for the stored answers of the site. When it is full, those not requested for longest are dropped.',
  ),
  largest: setting(size, '4MB', 'Largest body to store.'),
  client_control: setting(
    flag,
    'yes',
    "Heed a client's `Cache-Control` and `Pragma`: a reload in the browser then asks the site again. `no`: " +
      'no client can bypass the cache.',
  ),
  keep: setting(
    flag,
    'no',
    'Keep stored answers when new code of the module, or another version of the program, goes into service. `no`: they are dropped.',
  ),
})

/** [cache] of a site, ready for use. */
export interface CacheSettings {
  memoryBytes: number
  largestBytes: number
  clientControl: boolean
  keep: boolean
}

/** Gives the values their units. */
export function cacheSettings(read: z.output<typeof cacheSection>): CacheSettings {
  return {
    memoryBytes: read.memory,
    largestBytes: read.largest,
    clientControl: read.client_control,
    keep: read.keep,
  }
}
