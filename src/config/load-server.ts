/**
 * vhostel.ini, and logging.ini beside it, to a ServerConfig, or every problem of both at once.
 */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { z } from 'zod'
import { MAX_SOCKET_PATH_BYTES } from '../core/socket-path.ts'
import type { Checked, Checker, OtherFile } from './check.ts'
import { checkDocument, createChecker, keyProblem, lineOf } from './check.ts'
import { checkDefaults } from './check-defaults.ts'
import type { ErrorPages } from './error-pages.ts'
import { readErrorPages } from './error-pages.ts'
import type { IniDocument, IniSection } from './ini.ts'
import { parseIni } from './ini.ts'
import type { ListenAddress } from './listen.ts'
import { boundTogether, coveredBy, formatListenAddress } from './listen.ts'
import type { PoolsRead } from './load-pools.ts'
import { readPools, splitPools } from './load-pools.ts'
import { logFileFault } from './log-schema.ts'
import { isFile, ownFolderFault } from './own-folders.ts'
import type { Problem } from './problems.ts'
import { fileProblem, inLineOrder, quote } from './problems.ts'
import { acmeConfig, caFileFault, loneEabKey } from './server-acme.ts'
import { frontFault, frontSettings } from './server-front.ts'
import type { ServerConfig, SiteDefaults } from './server-schema.ts'
import { loggingSchema, serverSchema } from './server-schema.ts'
import type { FileSchema } from './settings.ts'
import { describeSchema } from './settings.ts'
import { DEFAULTABLE_SECTIONS, OWN_KEYS, siteSchema } from './site-schema.ts'
import { readTextFile } from './text-file.ts'

/** What vhostel.ini and logging.ini say. */
export interface ServerLoad {
  /** Undefined exactly where there are problems. */
  config: ServerConfig | undefined
  /** Those of vhostel.ini in line order, then those of logging.ini. */
  problems: Problem[]
  /** What a person should know, and serves all the same. */
  warnings: Problem[]
  /** Like `config`, with defaults in the place of what is wrong: good enough to check the sites, not to serve them. */
  draft: ServerConfig
}

/** A unix socket's path has at most 107 bytes; this leaves room for the names of the sockets in the run folder. */
const MAX_RUN_PATH_BYTES = 80

const OWN_FILE = "a site's own file"
const SITE: OtherFile = { file: OWN_FILE, schema: siteSchema }
const LOGGING: OtherFile = { file: 'logging.ini', schema: loggingSchema }
const SERVER: OtherFile = { file: 'vhostel.ini', schema: serverSchema, families: ['pool'] }
// What is for logs is in logging.ini for the server, though sites have a section of that name too.
const serverChecker = createChecker(serverSchema, [LOGGING, SITE], ['pool'])
const loggingChecker = createChecker(loggingSchema, [SERVER, SITE])
const siteSections = describeSchema(siteSchema)

/**
 * Reads and checks vhostel.ini and logging.ini. A missing logging.ini is not a problem; a missing vhostel.ini is.
 *
 * @param path of vhostel.ini
 */
export function loadServer(path: string): ServerLoad {
  const file = resolve(path)
  const dir = dirname(file)
  const server = readFile(serverChecker, file)
  const pools = readPools(file, server.document, server.named, server.checked)
  const loggingFile = join(dir, 'logging.ini')
  const logging = existsSync(loggingFile)
    ? readFile(loggingChecker, loggingFile)
    : checkText(loggingChecker, '', loggingFile)
  const pages = readServerPages(server, dir)
  const draft = serverConfig(dir, { server, logging, pools, pages })
  const problems = [
    ...inLineOrder([
      ...server.problems,
      ...pools.problems,
      ...pages.problems,
      ...checkPaths(server, draft),
      ...acmeFaults(server, draft),
      ...checkDefaults(server.document, draft),
    ]),
    ...inLineOrder([...logging.problems, ...logFaults(logging, draft)]),
  ]
  return { config: problems.length === 0 ? draft : undefined, problems, warnings: inLineOrder(pages.warnings), draft }
}

interface FileRead<S extends FileSchema> {
  file: string
  document: IniDocument
  /** The [pool NAME] sections, which are not in `document`. */
  named: Map<string, IniSection>
  checked: Checked<z.output<S>>
  problems: Problem[]
}

function readFile<S extends FileSchema>(checker: Checker<S>, file: string): FileRead<S> {
  const text = readTextFile(file)
  const read = checkText(checker, 'fault' in text ? '' : text.text, file)
  if ('fault' in text) read.problems = [fileProblem(file, text.fault, text.line)]
  return read
}

function checkText<S extends FileSchema>(checker: Checker<S>, text: string, file: string): FileRead<S> {
  const parsed = parseIni(text, checker.listMode)
  // Only in vhostel.ini: in logging.ini a pool is a section that is not known.
  const isServer = checker.sections.has('pool')
  const { document, named } = isServer ? splitPools(parsed) : { document: parsed, named: new Map<string, IniSection>() }
  const checked = checkDocument(checker, document, file)
  return { file, document, named, checked, problems: checked.problems }
}

/** All that was read. */
interface Parts {
  server: FileRead<typeof serverSchema>
  logging: FileRead<typeof loggingSchema>
  pools: PoolsRead
  pages: ServerPages
}

function serverConfig(dir: string, { server: read, logging, pools, pages }: Parts): ServerConfig {
  const { document, checked, file } = read
  const { server, pool, acme } = checked.value
  const { log, access, files } = logging.checked.value
  const defaultSite = server.default_site
  const both = [...server.listen, ...server.listen_tls]
  return {
    file,
    dir,
    listen: listenAddresses(server.listen, both, dir),
    listenTls: listenAddresses(server.listen_tls, both, dir),
    sites: resolve(dir, server.sites),
    run: resolve(dir, server.run),
    defaultSite,
    cacheMemoryBytes: server.cache_memory,
    pools: pools.pools,
    concurrency: pool.concurrency,
    log: { ...log, file: inFolder(dir, log.file), access: { ...access, file: inFolder(dir, access.file) }, files },
    front: frontSettings(server),
    acme: acmeConfig(acme, dir),
    errors: pages.pages,
    dependencies: pages.dependencies,
    defaults: siteDefaults(document, checked),
    defaultSiteLine: defaultSite === undefined ? undefined : lineOf(document, 'server', 'default_site'),
  }
}

function listenAddresses(
  addresses: readonly ListenAddress[],
  all: readonly ListenAddress[],
  dir: string,
): ListenAddress[] {
  return inFolderOf(dir, boundTogether(addresses, all))
}

/** [errors] as read, and what was found on the way. */
interface ServerPages {
  pages: ErrorPages | undefined
  problems: Problem[]
  warnings: Problem[]
  dependencies: string[]
}

function readServerPages({ document, file, checked }: FileRead<typeof serverSchema>, dir: string): ServerPages {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const dependencies: string[] = []
  const found = (status: string, message: string): Problem => keyProblem(document, file, 'errors', status, message)
  const pages = readErrorPages(checked.value.errors, dir, {
    addProblem: (status, message) => problems.push(found(status, message)),
    addWarning: (status, message) => warnings.push(found(status, message)),
    dependencies,
  })
  return { pages, problems, warnings, dependencies }
}

/** Paths of unix sockets start at the folder of vhostel.ini. */
function inFolderOf(dir: string, addresses: readonly ListenAddress[]): ListenAddress[] {
  return addresses.map((one) => (one.kind === 'unix' ? { ...one, path: resolve(dir, one.path) } : one))
}

function inFolder(dir: string, file: string | undefined): string | undefined {
  return file === undefined ? undefined : resolve(dir, file)
}

/** [defaults] by the sections of a site, as texts. Values that are not right are left out. */
function siteDefaults(document: IniDocument, checked: Checked<unknown>): SiteDefaults {
  const defaults: SiteDefaults = { site: {}, limits: {}, static: {}, door: {}, proxy: {}, cache: {}, log: {} }
  for (const [key, { values }] of document.sections.get('defaults')?.keys ?? []) {
    if (checked.isBad('defaults', key) || values.length === 0 || OWN_KEYS.includes(key)) continue
    for (const name of DEFAULTABLE_SECTIONS) {
      const meta = siteSections.get(name)?.keys.get(key)
      if (meta !== undefined) defaults[name][key] = meta.list ? values.map((value) => value.text) : values[0]?.text
    }
  }
  return defaults
}

function checkPaths(read: FileRead<typeof serverSchema>, config: ServerConfig): Problem[] {
  const problem = (key: string, message: string) => keyProblem(read.document, read.file, 'server', key, message)
  const all = [...config.listen, ...config.listenTls]
  const problems = listenFaults(config.listen, all).map((message) => problem('listen', message))
  problems.push(...listenFaults(config.listenTls, all).map((message) => problem('listen_tls', message)))
  const both = config.listenTls.map(formatListenAddress).find((address) => isTakenBy(config.listen, address))
  if (both !== undefined) problems.push(problem('listen_tls', `${both} is in listen too: one of the two can have it`))
  if (config.listen.length === 0 && !read.checked.isBad('server', 'listen')) {
    problems.push(problem('listen', 'is empty: name at least one address, or take the line away'))
  }
  const fault = frontFault(config.front)
  if (fault !== undefined && !read.checked.isBad('server', 'trusted_proxies')) {
    problems.push(problem('proxy_protocol', fault))
  }
  const bytes = Buffer.byteLength(config.run)
  if (bytes > MAX_RUN_PATH_BYTES) {
    const cure = `at most ${MAX_RUN_PATH_BYTES}, because the path of a socket in it may have ${MAX_SOCKET_PATH_BYTES}`
    problems.push(problem('run', `the path ${quote(config.run)} has ${bytes} bytes: ${cure}`))
  }
  const run = ownFolderFault(config.run, foldersOf(config))
  if (run !== undefined) problems.push(problem('run', run))
  if (isFile(config.sites)) problems.push(problem('sites', `${quote(config.sites)} is a file, not a folder`))
  return problems
}

function acmeFaults({ document, file, checked }: FileRead<typeof serverSchema>, config: ServerConfig): Problem[] {
  const { acme } = config
  const problem = (key: string, message: string) => keyProblem(document, file, 'acme', key, message)
  const problems: Problem[] = []
  const caFile = caFileFault(acme)
  if (caFile !== undefined) problems.push(problem('ca_file', caFile))
  const { lone, missing } = loneEabKey(checked.value.acme) ?? {}
  if (lone !== undefined && missing !== undefined && !checked.isBad('acme', missing)) {
    problems.push(problem(lone, `has no use without ${missing}: write both`))
  }
  const state = ownFolderFault(acme.state, foldersOf(config))
  if (state !== undefined) problems.push(problem('state', state))
  return problems
}

/** What of the server's is not to be closed with a folder that vhostel has for itself. */
function foldersOf({ file, sites }: ServerConfig): string[] {
  return [file, sites]
}

function logFaults({ document, file, checked }: FileRead<typeof loggingSchema>, { log }: ServerConfig): Problem[] {
  const files = { log: log.file, access: log.access.file }
  const problems = Object.entries(files).flatMap(([section, path]) => {
    const fault = path === undefined ? undefined : logFileFault(path)
    return fault === undefined ? [] : [keyProblem(document, file, section, 'file', fault)]
  })
  const hasFormat = document.sections.get('access')?.keys.has('format') === true
  if (
    hasFormat &&
    log.access.file === undefined &&
    !checked.isBad('access', 'file') &&
    !checked.isBad('access', 'format')
  ) {
    problems.push(
      keyProblem(document, file, 'access', 'format', 'has no use without file: name one, or take the line away'),
    )
  }
  return problems
}

function isTakenBy(addresses: readonly ListenAddress[], address: string): boolean {
  return !address.endsWith(':0') && addresses.some((other) => formatListenAddress(other) === address)
}

function listenFaults(addresses: readonly ListenAddress[], all: readonly ListenAddress[]): string[] {
  const faults: string[] = []
  const seen = new Set<string>()
  for (const address of addresses) {
    const written = formatListenAddress(address)
    if (address.kind === 'unix' && Buffer.byteLength(address.path) > MAX_SOCKET_PATH_BYTES) {
      faults.push(
        `the path ${quote(address.path)} is longer than the ${MAX_SOCKET_PATH_BYTES} bytes of a unix socket's path`,
      )
    }
    if (seen.has(written) && !written.endsWith(':0')) faults.push(`${written} is named twice`)
    seen.add(written)
    const whole = coveredBy(address, all)
    if (whole !== undefined)
      faults.push(
        `${written} is part of ${formatListenAddress(whole)}, which is all interfaces: leave one of the two out`,
      )
  }
  return faults
}
