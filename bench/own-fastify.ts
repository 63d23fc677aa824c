/**
 * A site with a `node_modules` of its own, as `npm install fastify` makes it. The files are hard links to one copy, so
 * that 50 of them cost no disk; Node loads each as a module of its own all the same, because it goes by the path.
 */
import { cpSync, linkSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { temporaryFolder } from './temporary-folder.ts'

let copy: string | undefined

/** Makes `node_modules/fastify`, with all that it needs, in a site's folder. */
export function linkFastifyInto(siteFolder: string): void {
  copy ??= copyFastify()
  linkTree(copy, join(siteFolder, 'node_modules'))
}

function copyFastify(): string {
  const folder = temporaryFolder('fastify')
  const packages = dirname(folderOf('fastify', import.meta.filename))
  for (const source of packagesNeededBy('fastify', import.meta.filename)) {
    cpSync(source, join(folder, relative(packages, source)), { recursive: true })
  }
  return folder
}

/** Folders of a package and of all that it depends on. */
function packagesNeededBy(name: string, from: string, found = new Set<string>()): Set<string> {
  const folder = folderOf(name, from)
  if (found.has(folder)) return found
  found.add(folder)
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>
  }
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    packagesNeededBy(dependency, join(folder, 'package.json'), found)
  }
  return found
}

/** Not by `require.resolve(name)`: its `exports` may hide the manifest. */
function folderOf(name: string, from: string): string {
  const roots = createRequire(from).resolve.paths(name) ?? []
  const parent = roots.find((root) => readdirOrNone(join(root, name)).includes('package.json'))
  if (parent === undefined) throw new Error(`${name} is not installed`)
  return realpathSync(join(parent, name))
}

function readdirOrNone(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function linkTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) linkTree(join(from, entry.name), join(to, entry.name))
    else linkSync(join(from, entry.name), join(to, entry.name))
  }
}
