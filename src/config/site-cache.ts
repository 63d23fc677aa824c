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
    'Whether answers of text (HTML, CSS, JavaScript, JSON, SVG, …) of 1 KB and more are compressed for clients that take ' +
      'zstd, br or gzip.',
  ),
  cache: setting(
    flag,
    'no',
    'Whether answers that allow it (`Cache-Control: max-age=…`, `s-maxage=…`, `Expires`) are stored and given to other ' +
      'visitors too, as RFC 9111 has it (docs/caching.md).',
  ),
}

/** [cache] of a site. */
export const cacheSection = section('For `cache = on`.', {
  memory: setting(size, '64MB', 'What the stored answers of the site may take; those not asked for longest go first.'),
  largest: setting(size, '4MB', 'Largest body that is stored; larger ones go past.'),
  client_control: setting(
    flag,
    'yes',
    "Whether a client's `Cache-Control` and `Pragma` are heeded: a reload in a browser then asks the site again. `no`: " +
      'nobody can get past what is stored.',
  ),
  keep: setting(
    flag,
    'no',
    "Whether what is stored stays when a new generation of the site's code is in service; else it is dropped.",
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
