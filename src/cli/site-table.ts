/**
 * The table of sites that `serve` and `list` print: each domain that is a name as a link that can be clicked, each site
 * that is not well with the lines that say why.
 */
import type { SiteState, SiteStatus } from '../admin/reports.ts'
import { counted } from '../advice/words.ts'
import type { Cell, Style } from './output.ts'
import { columns, oneLine, paint } from './output.ts'

/** A site of a running server, or of the files alone. */
export type ListedSite = Pick<SiteStatus, 'name' | 'kind' | 'domains' | 'urls' | 'problems'> &
  Partial<Pick<SiteStatus, 'threads' | 'requests' | 'residency'>> & { state: SiteState | 'not running' }

export interface SiteTableOptions {
  /** Whether threads and requests are shown. */
  traffic?: boolean
  /** Sites that are well beyond this many are only counted; as many of the others are shown in any case. */
  maxSites?: number
}

const STATES = {
  live: ['green', 'live'],
  idle: ['dim', 'idle, loads at its first request'],
  loading: ['cyan', 'loading'],
  previous: ['yellow', 'serving previous version'],
  quarantined: ['yellow', 'quarantined, in a process of its own'],
  failed: ['red', 'failed'],
  refused: ['red', 'refused'],
  'not running': ['dim', 'not running'],
} as const satisfies Record<ListedSite['state'], readonly [Style, string]>

/** Whether the file or the code of a site is wrong now. */
export function isFaulty(site: ListedSite): boolean {
  return site.problems.length > 0 || site.state === 'failed' || site.state === 'refused'
}

/** Whether a person should look at it: its file or code is wrong, or it did harm. */
function isUnwell(site: ListedSite): boolean {
  return isFaulty(site) || site.state === 'quarantined'
}

/** `serving previous version`, in its colour. */
export function stateText(state: ListedSite['state']): string {
  const [style, text] = STATES[state]
  return paint(style, text)
}

/** The table's lines, headline first. */
export function siteTable(sites: readonly ListedSite[], options: SiteTableOptions = {}): string[] {
  const { traffic = false, maxSites = Number.POSITIVE_INFINITY } = options
  const shown = choose(sites, maxSites)
  const rows: Cell[][] = [headline(traffic)]
  const ends: number[] = []
  for (const site of shown) {
    rows.push(...siteRows(site, traffic))
    ends.push(rows.length)
  }
  const lines = columns(rows)
  const table = lines.slice(0, 1)
  for (const [index, site] of shown.entries()) {
    table.push(
      ...lines.slice(ends[index - 1] ?? 1, ends[index]),
      ...[...problemLines(site), ...offenceLines(site)].map((line) => paint('red', line)),
    )
  }
  const left = sites.length - shown.length
  return left === 0 ? table : [...table, `… and ${counted(left, 'more site')}: vhostel list shows all`]
}

/** What is wrong with a site, one problem a line, indented. */
export function problemLines(site: Pick<ListedSite, 'problems'>): string[] {
  return site.problems.map((problem) => `    ${oneLine(problem)}`)
}

/** For what a site is quarantined: the last thing that it did. */
function offenceLines({ state, residency }: ListedSite): string[] {
  const last = residency?.offences.at(-1)
  return state !== 'quarantined' || last === undefined ? [] : [`    ${oneLine(last.text)}`]
}

function choose(sites: readonly ListedSite[], maxSites: number): readonly ListedSite[] {
  if (sites.length <= maxSites) return sites
  const unwell = sites.filter(isUnwell).slice(0, maxSites)
  const chosen = new Set([...sites.slice(0, maxSites), ...unwell])
  return sites.filter((site) => chosen.has(site))
}

function headline(traffic: boolean): Cell[] {
  const titles = traffic ? ['SITE', 'KIND', 'URL', 'THREADS', 'REQUESTS', 'STATE'] : ['SITE', 'KIND', 'URL', 'STATE']
  return titles.map((text) => ({ text, style: 'dim' }))
}

/** One row for each address of the site. */
function siteRows(site: ListedSite, traffic: boolean): Cell[][] {
  const [first = '-', ...more] = addresses(site)
  const [style, text] = STATES[site.state]
  const figures = traffic ? [{ text: String(site.threads ?? '-') }, { text: String(site.requests ?? '-') }] : []
  const row: Cell[] = [
    { text: site.name, style: 'bold' },
    { text: site.kind ?? '-' },
    { text: first, style: 'cyan' },
    ...figures,
    { text, style },
  ]
  return [row, ...more.map((address): Cell[] => [{ text: '' }, { text: '' }, { text: address, style: 'cyan' }])]
}

/** The links, and after them the domains that are no names: those cannot be clicked. */
export function addresses({ urls, domains }: Pick<ListedSite, 'urls' | 'domains'>): string[] {
  return urls.length === 0 ? domains : [...urls, ...domains.filter((domain) => /^[*.~]|\.\*$/.test(domain))]
}
