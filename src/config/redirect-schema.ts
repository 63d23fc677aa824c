/**
 * The [redirect] section of a site's file: where its visitors are sent.
 */
import { isIPv4 } from 'node:net'
import { endsInNumber, normaliseHost } from './domains.ts'
import { quote } from './problems.ts'
import { optional, section, setting } from './settings.ts'
import type { Read } from './units.ts'
import { choice, textType } from './units.ts'

/** Where to: what is left out is as the client asked. */
export interface RedirectTarget {
  /** Undefined for a bare host. */
  scheme: 'http' | 'https' | undefined
  /** As `normaliseHost` gives it. */
  host: string
  /** Undefined where none is written: for a bare host the one that the client used, else that of the scheme. */
  port: number | undefined
  /** What comes before the path that was asked for, without a slash at its end; '' for nothing. */
  base: string
}

const EXAMPLES = '(such as example.com or https://example.com/base)'

/** Reads a host, or a URL. */
export function readTarget(found: string): Read<RedirectTarget> {
  const [variable] = /\$(?:\{\w+\}|\w+)|%?\{[^}]*\}/.exec(found) ?? []
  if (variable !== undefined) return { problem: `${quote(found)}: ${variableCure(variable)}` }
  const parts = /^(?:(https?):\/\/)?(\[[^\]]*\]|[^/:?#@\\\s]+)(?::(\d{1,5}))?((?:\/[^?#\\\s]*)?)$/i.exec(found)
  if (parts === null) return { problem: `${quote(found)} is neither a host nor a URL of http or https ${EXAMPLES}` }
  const [, scheme, name = '', digits, path = ''] = parts
  const host = normaliseHost(name)
  if (host === undefined || host === '' || isUnfit(host)) {
    return { problem: `${quote(found)} does not name a host ${EXAMPLES}` }
  }
  if (scheme === undefined && path !== '') {
    return { problem: `${quote(found)} has a path but no scheme: write https:// or http:// before it` }
  }
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65_535)) return { problem: `${quote(found)}: ${port} is no port` }
  if (!/^[\x21-\x7e]*$/.test(path)) {
    return { problem: `${quote(found)}: write what is not ASCII in the path with % (such as %C3%A4)` }
  }
  return { value: { scheme: schemeOf(scheme), host, port, base: path.replace(/\/+$/, '') } }
}

/** What to write instead of a variable of nginx, Apache or Caddy. */
function variableCure(variable: string): string {
  if (/host|server_name/i.test(variable))
    return 'to send visitors to https, write [site] https_only = yes in the site itself'
  return `nothing is filled in, and path and query are kept without it: take ${variable} away`
}

/** A last label that is a number makes browsers look for an IPv4 address. */
function isUnfit(host: string): boolean {
  return endsInNumber(host) && !isIPv4(host)
}

function schemeOf(written: string | undefined): RedirectTarget['scheme'] {
  const lower = written?.toLowerCase()
  return lower === 'http' || lower === 'https' ? lower : undefined
}

function writeTarget({ scheme, host, port, base }: RedirectTarget): string {
  return `${scheme === undefined ? '' : `${scheme}://`}${host}${port === undefined ? '' : `:${port}`}${base}`
}

export const redirect = section('Redirects every request (`kind = redirect`).', {
  to: optional(
    textType<RedirectTarget>('host or URL', readTarget, writeTarget),
    'Host or URL to redirect to. The path and query of the request are kept, and put behind the path of the ' +
      'URL. A bare host keeps scheme and port as well.',
  ),
  status: setting(
    choice(['301', '302', '307', '308']),
    '301',
    '`301` and `308` are permanent, `302` and `307` temporary. With `307` and `308` a POST stays a POST.',
  ),
})
