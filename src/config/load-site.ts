/**
 * One site's INI file to a SiteConfig, or every problem of it at once. Looks at the files that it names (root, module,
 * env_file) and at no other site: which site has a domain is decided in sites-table.ts.
 */
import { basename } from 'node:path'
import { checkDocument, createChecker } from './check.ts'
import type { SiteDomains } from './domain-list.ts'
import { readDomains } from './domain-list.ts'
import { parseIni } from './ini.ts'
import { checkUses } from './key-uses.ts'
import { linkTargets, realPath } from './links.ts'
import { readCertificate } from './load-certificate.ts'
import { siteLogs } from './log-schema.ts'
import { fileProblem, inLineOrder, quote } from './problems.ts'
import { loggingSchema, serverSchema } from './server-schema.ts'
import { checkAcme } from './site-acme.ts'
import { checkBackend } from './site-backend.ts'
import { cacheSettings } from './site-cache.ts'
import { readDoors } from './site-doors.ts'
import { readEnvironment } from './site-env.ts'
import { readOption } from './site-options.ts'
import type { Place } from './site-place.ts'
import { checkPlace } from './site-place.ts'
import type { SiteBeingRead, SiteLoad, SiteSurroundings } from './site-reading.ts'
import { addProblem } from './site-reading.ts'
import { readCanonical, readRedirect } from './site-redirect.ts'
import { checkResidency } from './site-residency.ts'
import type { SiteConfig, SiteFile, SiteLimits } from './site-schema.ts'
import { siteSchema } from './site-schema.ts'
import { readStatic } from './site-static.ts'
import { readTextFile } from './text-file.ts'

export type { SiteLoad, SiteSurroundings } from './site-reading.ts'

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const MAX_NAME_LENGTH = 100
const checker = createChecker(siteSchema, [
  { file: 'vhostel.ini', schema: serverSchema, families: ['pool'] },
  { file: 'logging.ini', schema: loggingSchema },
])

/**
 * Reads and checks a site's file.
 *
 * @param file absolute path of the `.ini` file, or of a link to one
 * @param server for [defaults], and for paths in messages
 * @param env the server's environment, for `$NAME`
 * @param nowMs Unix time in ms, for what certificates say
 */
export function loadSite(
  file: string,
  server: SiteSurroundings,
  env: NodeJS.ProcessEnv = process.env,
  nowMs: number = Date.now(),
): SiteLoad {
  const load: SiteLoad = {
    name: basename(file, '.ini'),
    file,
    config: undefined,
    problems: [],
    warnings: [],
    domainLines: [],
    shareLine: undefined,
    linkTargets: [],
    dependencies: [],
    goodUntil: Number.POSITIVE_INFINITY,
  }
  // Undefined for a link that leads nowhere, and reading it says so.
  const realFile = realPath(file)
  load.linkTargets = linkTargets(file, realFile)
  const text = readTextFile(file)
  if ('fault' in text) load.problems.push(fileProblem(file, text.fault, text.line))
  else if (text.text.trim() === '') {
    load.problems.push(fileProblem(file, 'is empty; a site needs at least [site] and domains = …'))
  } else readSite(load, text.text, { realFile: realFile ?? file, nowMs, defaults: server.defaults }, server, env)
  // What is written where a link leads to changes the outcome as well: the certificate behind live/.
  load.linkTargets.push(...load.dependencies.flatMap((path) => linkTargets(path)))
  checkName(load)
  load.problems = inLineOrder(load.problems, file)
  return load
}

function checkName(load: SiteLoad): void {
  if (NAME.test(load.name) && load.name.length <= MAX_NAME_LENGTH) return
  const rule = `letters, digits, "-", "_" and ".", beginning with a letter or digit, ${MAX_NAME_LENGTH} at most`
  load.problems.push(fileProblem(load.file, `${quote(load.name)} cannot be the name of a site: ${rule}`))
  load.config = undefined
}

function readSite(
  load: SiteLoad,
  text: string,
  surroundings: Pick<SiteBeingRead, 'realFile' | 'nowMs' | 'defaults'>,
  server: SiteSurroundings,
  env: NodeJS.ProcessEnv,
): void {
  const document = parseIni(text, checker.listMode)
  const checked = checkDocument(checker, document, load.file, {
    defaults: server.defaults,
    readAnyKey: (section, entry) => (section === 'options' ? readOption(entry) : entry.values[0]?.text),
  })
  load.problems.push(...checked.problems)
  // What stands above all sections, or below a header that was refused, would be said to be missing besides.
  if (document.problems.some(({ section }) => section === undefined)) return
  const site: SiteBeingRead = { load, document, checked, ...surroundings }
  const domains = checkDomains(site)
  const place = checkPlace(site, server)
  checkUses(site, place.kind)
  const identity = checkResidency(site, server, place.kind)
  const backend = checkBackend(site, place.kind)
  const acme = checkAcme(site, domains, server)
  const environment = readEnvironment(site, env)
  const answers: Answers = {
    static: readStatic(site, place, server),
    redirect: readRedirect(site, place, domains.patterns),
    canonical: domains.problems.length > 0 ? undefined : readCanonical(site, domains.patterns),
  }
  const log = siteLogs(site, place)
  const certificate = readCertificate(site, domains.patterns)
  const doors = readDoors(site, place.root, place.kind)
  if (load.problems.length > 0) return
  load.domainLines = domains.lines
  load.shareLine = document.sections.get('limits')?.keys.get('share')?.line
  load.config = siteConfig(
    site,
    domains,
    { ...place, identity, acme, log, certificate, backend, doors, ...answers },
    environment,
  )
}

function checkDomains(site: SiteBeingRead): SiteDomains {
  const entry = site.document.sections.get('site')?.keys.get('domains')
  const domains = readDomains(entry?.values ?? [])
  for (const { line, message } of domains.problems) {
    site.load.problems.push({ file: site.load.file, line, section: 'site', key: 'domains', message, code: undefined })
  }
  const isRefused = site.checked.isBad('site', 'domains')
  if (domains.patterns.length === 0 && domains.problems.length === 0 && !isRefused) {
    const example = 'name the hosts that the site answers for (such as domains = example.com, www.example.com)'
    addProblem(site, 'site', 'domains', `${entry === undefined ? 'is missing' : 'is empty'}: ${example}`)
  }
  return domains
}

/** What is answered without a module. */
type Answers = Pick<SiteConfig, 'static' | 'redirect' | 'canonical'>

const EMPTY: Record<string, never> = Object.freeze({})
const NO_ARGUMENTS: readonly string[] = Object.freeze([])

function siteConfig(
  site: SiteBeingRead,
  domains: SiteDomains,
  place: Place & Pick<SiteConfig, 'identity' | 'acme' | 'log' | 'certificate' | 'backend' | 'doors'> & Answers,
  env: Record<string, string>,
): SiteConfig {
  const { site: keys, options, limits } = site.checked.value
  return {
    name: site.load.name,
    file: site.load.file,
    realFile: site.realFile === site.load.file ? site.load.file : site.realFile,
    domains: domains.patterns,
    ...place,
    args: keys.args ?? NO_ARGUMENTS,
    type: keys.type,
    httpPort: keys.http_port,
    watch: keys.watch,
    isolation: keys.isolation,
    pool: keys.pool,
    preload: keys.preload,
    idleMs: keys.idle,
    env: Object.keys(env).length === 0 ? EMPTY : env,
    options: Object.keys(options).length === 0 ? EMPTY : options,
    limits: shared(lastLimits, siteLimits(limits)),
    compress: keys.compress,
    cache: keys.cache ? cacheSettings(site.checked.value.cache) : undefined,
    static: shared(lastStatic, place.static),
    tls: shared(lastTls, { httpsOnly: keys.https_only, hstsSeconds: Math.floor(keys.hsts / 1000) }),
  }
}

function siteLimits(limits: SiteFile['limits']): SiteLimits {
  return {
    timeoutMs: limits.timeout,
    queue: limits.queue,
    queueTimeoutMs: limits.queue_timeout,
    startTimeoutMs: limits.start_timeout,
    stopTimeoutMs: limits.stop_timeout,
    hangTimeoutMs: limits.hang_timeout,
    maxBodyBytes: limits.max_body,
    bodyWaitMs: limits.body_wait,
    bodyRate: limits.body_rate,
    bodyTimeoutMs: limits.body_timeout,
    sendTimeoutMs: limits.send_timeout,
    slowMs: limits.slow,
    softLimitMs: limits.soft_limit,
    hardLimitMs: limits.hard_limit,
    offences: limits.offences,
    quarantineMs: limits.quarantine,
    share: limits.share,
    max: limits.max,
    maxThreads: limits.max_threads,
  }
}

/** The object made last, and its text: nearly all sites have the same limits, so ten thousand sites need not keep each its own. */
interface Last<T> {
  value: T | undefined
  json: string
}

const lastLimits: Last<SiteLimits> = { value: undefined, json: '' }
const lastStatic: Last<SiteConfig['static']> = { value: undefined, json: '' }
const lastTls: Last<SiteConfig['tls']> = { value: undefined, json: '' }

function shared<T extends object>(last: Last<T>, value: T): T {
  const json = JSON.stringify(value)
  if (last.value === undefined || last.json !== json) {
    last.value = Object.freeze(value)
    last.json = json
  }
  return last.value
}
