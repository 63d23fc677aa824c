/**
 * Where files really are, so that they can be watched: a watched folder has to be a real one, and a link on the way to a
 * file can be made to lead elsewhere, so it is watched as a file of the folder that it is in.
 */
import { basename, dirname, join } from 'node:path'
import { linkTargets, realPath } from './links.ts'
import type { ServerConfig } from './server-schema.ts'
import type { SiteLoad } from './site-reading.ts'

/** Real paths, except for what does not exist. */
export interface WatchedPaths {
  /** The first are the most important. */
  folders: Set<string>
  /** In those folders. */
  files: Set<string>
}

/**
 * The paths to watch for these files.
 *
 * @param isKnown files that are recognised by their name, so that they need not be in the result
 */
export function realPlaces(files: Iterable<string>, isKnown: (path: string) => boolean = () => false): WatchedPaths {
  const paths: WatchedPaths = { folders: new Set(), files: new Set() }
  const realFolders = new Map<string, string>()
  const add = (file: string): void => {
    const folder = dirname(file)
    let real = realFolders.get(folder)
    if (real === undefined) {
      // What is not there yet is waited for by this name.
      real = realPath(folder) ?? folder
      realFolders.set(folder, real)
      paths.folders.add(real)
      if (real !== folder) add(folder) // it is a link, or below one
    }
    if (!isKnown(file)) paths.files.add(join(real, basename(file)))
  }
  for (const file of files) add(file)
  return paths
}

/**
 * Where changes of the configuration can come from: vhostel.ini's folder and error pages, the sites folder, the targets of links, the
 * env_files, and for a site that is refused also the root and the module that it could not find.
 */
export function pathsToWatch(
  server: Pick<ServerConfig, 'file' | 'sites' | 'dependencies'>,
  sites: Iterable<Pick<SiteLoad, 'linkTargets' | 'dependencies'>>,
): WatchedPaths {
  return realPlaces(configFiles(server, sites), isConfigFile)
}

function* configFiles(
  server: Pick<ServerConfig, 'file' | 'sites' | 'dependencies'>,
  sites: Iterable<Pick<SiteLoad, 'linkTargets' | 'dependencies'>>,
): Generator<string> {
  for (const file of [server.file, join(dirname(server.file), 'logging.ini'), ...server.dependencies]) {
    yield file
    yield* linkTargets(file)
  }
  yield join(server.sites, 'any.ini')
  for (const { linkTargets, dependencies } of sites) {
    yield* linkTargets
    yield* dependencies
  }
}

/** Whether a file's name is that of a configuration file, a site's among them, and not of what editors leave beside it. */
export function isConfigFile(path: string): boolean {
  return path.endsWith('.ini') && !basename(path).startsWith('.')
}
