/**
 * Completes a lock file: `node scripts/complete-lock.ts [package-lock.json …]`, after every `npm install` that changed it.
 *
 * Native tools come as one optional package for each platform. npm leaves those out of the lock file that its registry does
 * not have (a mirror often has but the platforms that somebody asked for), and then `npm ci` refuses the lock file as
 * incomplete, on every platform. What is missing is known all the same: name and exact version stand in the manifest
 * of the package that wants it, the platform in its name. Such an entry has no checksum; where that platform is in
 * use, npm takes it from its registry like any package without one.
 *
 * Invariant: entries that are there are not touched.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface Entry {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

interface Lock {
  packages: Record<string, Entry>
}

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const CPUS = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']
const EXACT = /^\d+\.\d+\.\d+(-[\w.]+)?$/

for (const file of process.argv.length > 2 ? process.argv.slice(2) : ['package-lock.json']) {
  const lock = JSON.parse(readFileSync(file, 'utf8')) as Lock
  const added = complete(lock)
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
  if (added > 0) writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`)
  process.stdout.write(`${file}: ${added} entries added\n`)
}

function complete({ packages }: Lock): number {
  let added = 0
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (path === '' || isThere(packages, path, name) || !EXACT.test(version)) continue
      packages[`node_modules/${name}`] = platformEntry(name, version, entry.dev === true)
      added++
    }
  }
  return added
}

/** Whether npm would find `name` from the package at `path`: beside it, or in a folder above. */
function isThere(packages: Lock['packages'], path: string, name: string): boolean {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (packages[at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`] !== undefined) return true
    if (at === '') return false
  }
}

function platformEntry(name: string, version: string, dev: boolean): Entry {
  const words = name.slice(name.indexOf('/') + 1).split('-')
  const os = SYSTEMS.filter((system) => words.includes(system))
  const cpu = CPUS.filter((one) => words.includes(one))
  const libc =
    words.includes('musl') || words.includes('musleabihf') ? ['musl'] : words.includes('gnu') ? ['glibc'] : []
  return {
    version,
    ...(cpu.length > 0 && { cpu }),
    ...(dev && { dev }),
    ...(libc.length > 0 && { libc }),
    optional: true,
    ...(os.length > 0 && { os }),
  }
}
