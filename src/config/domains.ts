/**
 * Names of hosts: reads what a person writes after `domains =`, and brings what a client sends in `Host` to the form in
 * which the two are compared. Which site a host goes to is decided elsewhere (dispatcher/host-table.ts).
 *
 * Invariant: whatever `normaliseHost` returns is lower-case ASCII without port, trailing dot, empty label or user info,
 * at most 253 characters long, and is returned unchanged when it is given again.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII, domainToUnicode } from 'node:url'
import { compileHostRegex } from './host-regex.ts'
import { quote } from './problems.ts'

/** One rule by which hosts belong to a site; `source` is the text as written in the INI file. */
export type DomainPattern =
  | { kind: 'exact'; host: string; source: string }
  | { kind: 'suffix'; suffix: string; source: string }
  | { kind: 'prefix'; prefix: string; source: string }
  | { kind: 'regex'; regex: RegExp; source: string }

/** The hosts that are named one by one. */
export function exactHosts(patterns: readonly DomainPattern[]): string[] {
  return patterns.flatMap((pattern) => (pattern.kind === 'exact' ? [pattern.host] : []))
}

/** Longest host name in characters, without the trailing dot (RFC 1035 §2.3.4, in its written form). */
const MAX_NAME_LENGTH = 253
/** Longest label in characters (RFC 1035 §2.3.4). */
const MAX_LABEL_LENGTH = 63
/** A name with its trailing dot and `:65535`; whatever is longer need not be looked at. */
const MAX_TEXT_LENGTH = MAX_NAME_LENGTH + 1 + 6

const EXAMPLES = '(such as example.com, .example.com, *.example.com, www.* or ~^shop-.+$)'

// ---- what a person writes --------------------------------------------------------------------------------------

/**
 * Reads one domain of `[site] domains`. `.example.com` means the name and all names below it, so it gives two patterns.
 *
 * @param text one domain; blanks around it do not count
 * @returns the patterns, or the problem in words that quote the text and name the cure, without the place
 */
export function parseDomain(text: string): { patterns: DomainPattern[] } | { problem: string } {
  const source = text.trim()
  if (source === '') return { problem: `a domain is empty ${EXAMPLES}` }
  if (source.startsWith('~')) return parseRegex(source)
  // nginx's way to have the hosts that nobody has is a name that is none: `server_name _`.
  if (source === '*' || source === '_') {
    return { problem: `"${source}" is not a domain: name this site as [server] default_site to have all other hosts` }
  }
  if (source.startsWith('*.')) {
    return withName(source, source.slice(2), (host) => [{ kind: 'suffix', suffix: `.${host}`, source }])
  }
  if (source.startsWith('.')) {
    return withName(source, source.slice(1), (host) => [
      { kind: 'exact', host, source },
      { kind: 'suffix', suffix: `.${host}`, source },
    ])
  }
  if (source.endsWith('.*')) {
    return withName(source, source.slice(0, -2), (host) => [{ kind: 'prefix', prefix: `${host}.`, source }], 'prefix')
  }
  if (source.startsWith('[')) return parseAddress(source)
  return withName(source, source, (host) => [{ kind: 'exact', host, source }])
}

function parseRegex(source: string): { patterns: DomainPattern[] } | { problem: string } {
  const compiled = compileHostRegex(source.slice(1))
  if ('problem' in compiled)
    return { problem: `${quote(source)} cannot be used as a regular expression: ${compiled.problem}` }
  return { patterns: [{ kind: 'regex', regex: compiled.regex, source }] }
}

function parseAddress(source: string): { patterns: DomainPattern[] } | { problem: string } {
  const host = source.endsWith(']') ? normaliseHost(source) : undefined
  if (host === undefined)
    return { problem: `${quote(source)} is not an IPv6 address in brackets without a port (such as [::1])` }
  return { patterns: [{ kind: 'exact', host, source }] }
}

/** Checks the name within a domain and makes the patterns of it. */
function withName(
  source: string,
  name: string,
  make: (host: string) => DomainPattern[],
  part: 'whole' | 'prefix' = 'whole',
): { patterns: DomainPattern[] } | { problem: string } {
  const host = normaliseHost(name)
  const reason = spellingFault(name) ?? nameFault(name, host, source === name, part)
  if (reason !== undefined || host === undefined)
    return { problem: `${quote(source)} is not a domain: ${reason} ${EXAMPLES}` }
  return { patterns: make(host) }
}

/** Why a text cannot be a name at all: the mistakes that people make, each with its cure. */
function spellingFault(name: string): string | undefined {
  if (/[\s,;]/.test(name)) return 'several domains are separated by commas or by line ends'
  if (/[/\\?#]/.test(name)) return 'leave out the scheme and the path of the URL, only the host counts'
  if (name.includes('@')) return 'leave out the user name, only the host counts'
  if (/["'`“”„‘’‚«»]/.test(name)) return 'leave out the quotes'
  if (name.includes('*')) return "'*' can only be the whole first or the whole last label; else write it as ~regex"
  if (isIPv6(name)) return `an IPv6 address is written in brackets: [${name}]`
  if (name.includes(':')) return 'leave out the port: every site is on every address of [server] listen'
  if (name.includes('%')) return "'%' cannot be part of a host name: write the letter itself"
  return undefined
}

/** Why a text of allowed characters is no name. `host` is its normal form, if it has one. */
function nameFault(
  name: string,
  host: string | undefined,
  alone: boolean,
  part: 'whole' | 'prefix',
): string | undefined {
  if (host === undefined) {
    return (
      'a name has labels of 1 to 63 letters, digits, "-" or "_", with dots between them, ' +
      `and at most ${MAX_NAME_LENGTH} characters; this one has ${name.length}`
    )
  }
  if (part === 'whole' && endsInNumber(host) && !(alone && isIPv4(host))) {
    return 'browsers take a name whose last label is a number as an IPv4 address: write that in full (such as 192.0.2.1)'
  }
  const broken = host.split('.').find((label) => label.startsWith('xn--') && domainToUnicode(label) === label)
  if (broken !== undefined) return `"${broken}" is not the ASCII form of any name: write the name with its own letters`
  return undefined
}

/** Whether a URL parser would take the host as an IPv4 address (WHATWG URL, "ends in a number"). */
export function endsInNumber(host: string): boolean {
  return /(?:^|\.)(?:\d+|0x[\da-f]*)$/.test(host)
}

// ---- what a client sends ---------------------------------------------------------------------------------------

const REFUSED = 0
const PLAIN = 1
const UPPER = 2
const DOT = 3
const COLON = 4

/** What each ASCII character means in a host. Letters, digits, `-` and `_` are all that names in use are made of. */
const MEANING = new Uint8Array(128)
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789-_') MEANING[char.charCodeAt(0)] = PLAIN
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') MEANING[char.charCodeAt(0)] = UPPER
MEANING['.'.charCodeAt(0)] = DOT
MEANING[':'.charCodeAt(0)] = COLON

/**
 * Brings a host to the form in which hosts are compared: lower case, without port and trailing dot, IDN as ASCII
 * (`xn--…`), IPv6 in brackets in its canonical spelling.
 *
 * Runs for every request, so a plain name is passed over once and returned as it is, without allocating. RFC 3986 allows
 * more in a name than is accepted here (`%41`, `!`, `=` …): no such name exists in DNS, and each is a way to mean one
 * host to us and another to somebody before or behind us.
 *
 * @param text the value of `Host`, or the authority of a URL, as a string of characters (not of UTF-8 bytes)
 * @returns the host, or undefined where the text is none: the request is then answered with 400
 */
export function normaliseHost(text: string): string | undefined {
  if (text.length > MAX_TEXT_LENGTH) return undefined
  let end = text.length
  let labelStart = 0
  let hasUpper = false
  for (let i = 0; i < end; i++) {
    const meaning = MEANING[text.charCodeAt(i)] ?? REFUSED
    if (meaning === PLAIN) continue
    if (meaning === DOT) {
      if (i === labelStart || i - labelStart > MAX_LABEL_LENGTH) return undefined
      labelStart = i + 1
    } else if (meaning === UPPER) hasUpper = true
    else if (meaning === COLON && isPort(text, i + 1)) end = i
    else return unusualHost(text)
  }
  if (end - labelStart > MAX_LABEL_LENGTH) return undefined
  if (end === labelStart) end-- // behind the trailing dot, or nothing at all
  if (end < 1 || end > MAX_NAME_LENGTH) return undefined
  const host = end === text.length ? text : text.slice(0, end)
  return hasUpper ? host.toLowerCase() : host
}

/** Whether the rest of the text is a port: up to five digits, at most 65535, or nothing (RFC 3986 §3.2.3). */
function isPort(text: string, start: number): boolean {
  if (text.length - start > 5) return false
  let port = 0
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
  }
  return port <= 65535
}

/** The host of a text with a character that no plain name has: an IPv6 literal, an IDN, or nothing good. */
function unusualHost(text: string): string | undefined {
  if (text.startsWith('[')) return ipv6Host(text)
  const colon = text.indexOf(':')
  if (colon !== -1 && !isPort(text, colon + 1)) return undefined
  const name = colon === -1 ? text : text.slice(0, colon)
  // domainToASCII is a URL parser: it decodes %41, cuts at '/', and makes 1.2.0.3 of 1.2.3. Only letters may reach it.
  if (!/[^\0-\x7f]/.test(name) || /[^\w.\-\u0080-\u{10ffff}]/u.test(name)) return undefined
  const ascii = domainToASCII(name)
  if (ascii === '' || endsInNumber(ascii)) return undefined
  return /^[\w.-]+$/.test(ascii) ? normaliseHost(ascii) : undefined
}

/** The canonical spelling (RFC 5952, as every URL parser writes it) of `[address]` or `[address]:port`. */
function ipv6Host(text: string): string | undefined {
  const close = text.indexOf(']')
  const address = text.slice(1, close)
  // isIPv6 accepts a zone (fe80::1%eth0), which means something to the sender's machine only.
  if (close === -1 || address.includes('%') || !isIPv6(address)) return undefined
  const rest = close + 1
  if (rest < text.length && !(text[rest] === ':' && isPort(text, rest + 1))) return undefined
  return new URL(`http://[${address}]/`).hostname
}
