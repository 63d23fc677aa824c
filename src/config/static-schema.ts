/**
 * The [static] section of a site's file: how files are found and sent. Folders that are mounted beside the site's own
 * (`/assets = public/assets`) are read in site-static.ts.
 */
import { quote } from './problems.ts'
import { listSetting, optional, optionalList, section, setting } from './settings.ts'
import { nearest } from './suggest.ts'
import type { Read } from './units.ts'
import { flag, listType, textType } from './units.ts'

/** What a `try` list may end with: nothing more is tried. */
export const TRY_END = '=404'

const fileName = (found: string): Read<string> =>
  /[/\\]/.test(found) || found.startsWith('.')
    ? { problem: `${quote(found)} is not the name of a file: write it without a folder (such as index.html)` }
    : (programOf(found) ?? { value: found })

/** Sent as a file, it would show its source, with the passwords in it. */
function programOf(found: string): Read<string> | undefined {
  if (!/\.(?:php\d?|phtml)$/i.test(found)) return undefined
  const cure = '[site] command or [site] upstream names a server that runs it'
  return { problem: `${quote(found)} would be sent as it is written, and not be run: ${cure}` }
}

/** Whether a part of a path is one that is never served: a dotfile, `.` or `..`. */
function hasHiddenPart(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.') && part !== '.well-known')
}

function readTry(found: string): Read<string> {
  if (found === TRY_END) return { value: found }
  const examples = 'such as $uri, $uri.html, $uri/ or /index.html'
  if (!/^(?:\$uri|\/)/.test(found))
    return { problem: `${quote(found)} begins neither with $uri nor with / (${examples})` }
  if (found.lastIndexOf('$') > 0 || /^\$uri\w/.test(found)) {
    return { problem: `${quote(found)}: $uri, at the beginning, is the only variable (${examples})` }
  }
  if (/[?#\\]/.test(found) || hasHiddenPart(found)) {
    return { problem: `${quote(found)} is not the path of a file that may be served (${examples})` }
  }
  return programOf(found) ?? { value: found }
}

const pageBelowRoot = textType<string>(
  'path below `root`',
  (found) => {
    const path = found.replace(/^\/+/, '')
    if (path !== '' && !path.endsWith('/') && !/[?#\\]/.test(path) && !hasHiddenPart(path)) return { value: path }
    return { problem: `${quote(found)} is not the path of a file below root (such as 404.html)` }
  },
  String,
)

/** Directives of answers (RFC 9111, RFC 5861, RFC 8246); those with a number have to have it, in seconds. */
const WITH_SECONDS = ['max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error']
const WITHOUT =
  'public private no-cache no-store no-transform must-revalidate proxy-revalidate must-understand immutable'
const DIRECTIVES = [...WITH_SECONDS, ...WITHOUT.split(' ')]

const cacheControl = textType<string>(
  'Cache-Control',
  (found) => {
    const faults = found.split(',').map((one) => directiveFault(one.trim()))
    const fault = faults.find((one) => one !== undefined)
    if (fault === undefined) return { value: found }
    return { problem: `${quote(found)} is not a Cache-Control (such as public, max-age=3600): ${fault}` }
  },
  String,
)

function directiveFault(written: string): string | undefined {
  const [, name = '', value] = /^([a-z-]+)(?:=(.+))?$/i.exec(written) ?? []
  const isKnown = DIRECTIVES.includes(name.toLowerCase())
  const meant = isKnown || name === '' ? undefined : nearest(name, DIRECTIVES)
  if (!isKnown) return `${quote(written)} is no directive${meant === undefined ? '' : `; did you mean ${meant}?`}`
  if (!WITH_SECONDS.includes(name.toLowerCase())) {
    return value === undefined || /^"[^"]*"$/.test(value) ? undefined : `${name} takes no value`
  }
  return /^\d+$/.test(value ?? '') ? undefined : `${name} takes a number of seconds, without a unit`
}

function readLasting(found: string): Read<string> {
  const isFolder = /^\/(?:[^*?#\\]*)$/.test(found)
  if (isFolder || /^\*[^*/?#\\]+$/.test(found)) return { value: found }
  return {
    problem: `${quote(found)} is neither the beginning of a path (such as /assets) nor the end of a name (such as *.woff2)`,
  }
}

export const staticFiles = section(
  'Static files: for `kind = static`, and for folders mounted beside a module. `try` and `not_found` are ' +
    'for `kind = static`, and for `/` beside `[proxy] paths`. See [Static files](static.md).',
  {
    index: listSetting(
      listType('list of file names', fileName, String),
      'index.html',
      'Files that answer for a folder. The first that exists is sent.',
    ),
    try: listSetting(
      listType('list of paths', readTry, String),
      '$uri, $uri/',
      'What to send for a path. The first that exists: `$uri` is the path itself, `$uri/` the folder of that ' +
        'name with its index, `/index.html` that file (for single-page applications). `=404` may end the list ' +
        'and changes nothing.',
    ),
    clean_urls: setting(
      flag,
      'no',
      'Send `about.html` for `/about`, and redirect `/about.html` to `/about` and `/index.html` to `/`.',
    ),
    not_found: optional(pageBelowRoot, 'Page to send, with status 404, when nothing else is found.'),
    listing: setting(flag, 'no', 'Answer a folder without an index with a list of its files.'),
    precompressed: setting(
      flag,
      'yes',
      'Send `app.js.br`, `app.js.zst` or `app.js.gz` in place of `app.js` to clients that accept it.',
    ),
    cache_control: setting(
      cacheControl,
      'public, max-age=0',
      '`Cache-Control` of the files. By default browsers ask each time whether a file has changed.',
    ),
    immutable: optionalList(
      listType('list of paths', readLasting, String),
      'Files with a hash in their name (`app-3f9c1e.js`), which browsers keep for a year without asking: a folder ' +
        '(`/assets`) or an ending (`*.woff2`). The path of the file counts: `/index.html` that `try` sends for a ' +
        'missing asset is not kept.',
    ),
  },
  'A folder to serve at this path: `/assets = public/assets`. Any number of them; the longest matching ' +
    'path is tried first. A relative path starts at `root`. What is not found there is left to the module, ' +
    'or to the files below `root`.',
)
