/**
 * Gets the suites' files, which are not in this repository: upstream's tarball out of Debian's source packages, by apt,
 * which checks its signature; or what npm has installed. Each suite becomes a folder below `.suites/`, once.
 *
 * Leaves the machine's apt as it is: the list of sources, its index and its cache are in `.suites/apt`. Needs no root.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import type { Suite } from './suites.ts'
import { SUITES } from './suites.ts'

const HERE = import.meta.dirname
const SUITES_DIR = join(HERE, '.suites')
const APT_DIR = join(SUITES_DIR, 'apt')
/** The releases that suites come from. */
const RELEASES = [...new Set(SUITES.flatMap((suite) => suite.debian?.release ?? []))]
const SOURCES = join(APT_DIR, `${RELEASES.join('-')}.sources`)
const APT_TIMEOUT_MS = 180_000

/** @returns the suite's folder @throws with the command that failed, or what to install */
export function fetchSuite(suite: Suite): string {
  const dir = join(SUITES_DIR, suite.name)
  if (existsSync(dir)) return dir
  const installed = join(HERE, 'node_modules', suite.package)
  if (!existsSync(installed)) {
    throw new Error(`${suite.package} is not installed: run \`npm ci --prefix test/compat\` first`)
  }
  // Made beside its place and then renamed, so that a folder that is there is whole.
  const draft = `${dir}.draft`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { recursive: true })
  if (suite.debian) execFileSync('tar', ['xzf', fetchTarball(suite.debian), '-C', draft, '--strip-components=1'])
  if (suite.codeFrom === 'package') copyPackage(installed, draft)
  const nested = join(installed, 'node_modules')
  if (existsSync(nested)) symlinkSync(relative(draft, nested), join(draft, 'node_modules'))
  renameSync(draft, dir)
  return dir
}

/** The package's own code takes the place of the tarball's; tests and examples stay. */
function copyPackage(installed: string, dir: string): void {
  for (const entry of readdirSync(installed)) {
    if (entry === 'node_modules') continue
    rmSync(join(dir, entry), { recursive: true, force: true })
    cpSync(join(installed, entry), join(dir, entry), { recursive: true })
  }
}

function fetchTarball({ source, version, release }: NonNullable<Suite['debian']>): string {
  const pattern = `${source}_${version}*.orig.tar.gz`
  const found = globSync(pattern, { cwd: APT_DIR })[0]
  if (found !== undefined) return join(APT_DIR, found)
  updateIndex()
  try {
    // Of several tarballs (types and the like) apt may not get all; only upstream's own is wanted.
    apt('apt-get', ['source', '--download-only', '--tar-only', '-qq', `${source}/${release}`])
  } catch (error) {
    if (globSync(pattern, { cwd: APT_DIR }).length === 0) throw error
  }
  const tarball = globSync(pattern, { cwd: APT_DIR })[0]
  if (tarball !== undefined) return join(APT_DIR, tarball)
  throw new Error(`apt-get source ${source}/${release} gave no ${pattern}; has the release another version now?`)
}

/** Fetches the index of sources, of all releases that a suite comes from, once. */
function updateIndex(): void {
  if (existsSync(SOURCES)) return
  for (const folder of ['lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(APT_DIR, folder), { recursive: true })
  }
  const stanza = debianStanza()
    .replace(/^Types:.*$/m, 'Types: deb-src')
    .replace(/^Suites:.*$/m, `Suites: ${RELEASES.join(' ')}`)
  writeFileSync(SOURCES, `${stanza}\n`)
  try {
    apt('apt-get', ['update', '-qq'])
  } catch (error) {
    rmSync(SOURCES)
    throw error
  }
}

/** The part of the machine's own list of sources that names Debian's archive. */
function debianStanza(): string {
  const files = globSync('/etc/apt/sources.list.d/*.sources')
  const stanzas = files.flatMap((file) => readFileSync(file, 'utf8').split(/\n\s*\n/))
  const stanza = stanzas.find((text) => /^URIs:.*\/debian\/?$/m.test(text) && /^Components:.*\bmain\b/m.test(text))
  if (stanza !== undefined) return stanza.trim()
  throw new Error(
    "no sources of Debian's archive in /etc/apt/sources.list.d/*.sources; on another system unpack the project's own " +
      'release into test/compat/.suites/apt as <source>_<version>.orig.tar.gz (see docs/compatibility.md)',
  )
}

function apt(command: string, args: string[]): void {
  const settings = {
    'Dir::Etc::sourcelist': SOURCES,
    'Dir::Etc::sourceparts': '-',
    'Dir::State::lists': join(APT_DIR, 'lists'),
    'Dir::Cache': join(APT_DIR, 'cache'),
    'APT::Sandbox::User': 'root',
    'Acquire::Retries': '3',
  }
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  try {
    execFileSync(command, [...options, ...args], { cwd: APT_DIR, stdio: 'pipe', timeout: APT_TIMEOUT_MS })
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer }
    throw new Error(`${command} ${args.join(' ')} failed:\n${stderr ?? error}`)
  }
}
