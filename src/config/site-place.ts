/**
 * Where a site is: its root and its module on the disk, and whether it may be there.
 */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { deniedText, isDenied } from '../core/denied.ts'
import { isInside } from './inside.ts'
import { realPath } from './links.ts'
import { quote, shownPath } from './problems.ts'
import { kindOf } from './site-backend.ts'
import type { SiteBeingRead, SiteSurroundings } from './site-reading.ts'
import { addProblem, isWritten, pathOf } from './site-reading.ts'
import type { SiteConfig } from './site-schema.ts'
import { errorCode } from './text-file.ts'

/** Paths absolute. */
export interface Place {
  kind: SiteConfig['kind']
  root: string
  module: string | undefined
}

/**
 * Finds root and module and checks that they are there; problems are added to the site's. Paths that are not as they
 * should be become dependencies: once they are, the outcome is another.
 */
export function checkPlace(site: SiteBeingRead, server: SiteSurroundings): Place {
  const { root: rootText, module } = site.checked.value.site
  const kind = kindOf(site)
  const root = pathOf(site, rootText)
  if (kind === 'redirect' || site.checked.isBad('site', 'root')) return { kind, root, module: undefined }
  const fault = pathFault(root, 'folder')
  if (fault !== undefined) {
    addProblem(site, 'site', 'root', `${quote(rootText)} ${fault}`)
    site.load.dependencies.push(root)
  }
  if (kind === 'module') return { kind, root, module: checkModule(site, root, module, fault === undefined) }
  if (kind !== 'static') return { kind, root, module: undefined }
  if (isWritten(site, 'site', 'module')) {
    addProblem(site, 'site', 'module', 'has no use with kind = static: take one of the two away')
  } else if (!isWritten(site, 'site', 'root') && server.defaults.site.root === undefined) {
    const cure = 'name the file to run (module = server.js) or the folder to serve (root = ../public)'
    addProblem(site, 'site', 'root', `is missing: ${cure}`)
  } else if (fault === undefined) checkExposure(site, root, server)
  return { kind, root, module: undefined }
}

/** The module's path. @param look whether its root is there, so that the module is worth looking for */
function checkModule(site: SiteBeingRead, root: string, module: string | undefined, look: boolean): string | undefined {
  if (module === undefined) {
    if (!site.checked.isBad('site', 'module')) {
      addProblem(site, 'site', 'module', 'is missing: kind = module needs the file to run (such as module = server.js)')
    }
    return undefined
  }
  const path = resolve(root, module)
  const fault = look ? pathFault(path, 'file') : undefined
  if (fault !== undefined) {
    addProblem(site, 'site', 'module', `${quote(module)} ${fault}${commandHint(module)}`)
    site.load.dependencies.push(path)
  }
  return path
}

/** `npm start` and the like, from another process manager. */
function commandHint(written: string): string {
  return /^\S+ +\S/.test(written) ? `; a module is one file: write command = ${written} to start a program` : ''
}

/** Why a path is not the folder or file that it should be. */
export function pathFault(path: string, wanted: 'folder' | 'file'): string | undefined {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return `does not exist (looked for ${path})`
    if (wanted === 'folder') return stats.isDirectory() ? undefined : `is not a folder (${path})`
    if (stats.isDirectory()) return `is a folder (${path}): name the file in it (such as index.js)`
    return stats.isFile() ? undefined : `is not a regular file (${path})`
  } catch (error) {
    const code = errorCode(error)
    return isDenied(code) ? `cannot be looked at: ${deniedText(path)}` : `cannot be looked at (${path}: ${code})`
  }
}

/** A static site whose root holds the configuration would hand its [env] to anybody. */
function checkExposure(site: SiteBeingRead, root: string, server: SiteSurroundings): void {
  const fault = exposureFault(site, root, server, secretFiles(site))
  if (fault !== undefined) addProblem(site, 'site', 'root', fault)
}

/** The environment and the key of a certificate, where the site's file names them: nobody is to see them. Absolute. */
export function secretFiles(site: SiteBeingRead): string[] {
  const { env_file: envFile, key } = site.checked.value.site
  return [envFile, key].filter((path) => path !== undefined).map((path) => pathOf(site, path))
}

/** Why a folder may not be served: it holds the configuration, or one of the `others`, which are absolute paths. */
export function exposureFault(
  site: SiteBeingRead,
  folder: string,
  server: SiteSurroundings,
  others: readonly string[] = [],
): string | undefined {
  // What was taken away since it was looked at is where its name says.
  const real = realPath(folder) ?? folder
  const secrets = [site.realFile, server.file, server.sites, ...others]
  const exposed = secrets.find((file) => isInside(file, real) || isInside(realPath(file) ?? file, real))
  if (exposed === undefined) return undefined
  const cure = 'name a folder that holds only what the site is to show'
  return `the folder (${folder}) holds ${shownPath(exposed, server.dir)}, which would be served: ${cure}`
}
