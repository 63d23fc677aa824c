/**
 * Runs first in each worker thread that a site starts itself (site-workers.ts): the folder of the site becomes its working
 * directory, and what it writes to descriptors 1 and 2 its output, which its parent has as its own.
 *
 * Limit: as everywhere in a process that sites share, native code that is not known follows the real directory. Invariant:
 * the site's code sees no trace of this, in its environment or its arguments.
 */
import Module from 'node:module'
import { installDescriptors } from './site-descriptor-output.ts'
import { installSiteNatives } from './site-natives.ts'
import { installSitePaths } from './site-paths.ts'
import { FOLDER_VARIABLE, installSiteWorkers } from './site-workers.ts'

const folder = process.env[FOLDER_VARIABLE] || undefined
delete process.env[FOLDER_VARIABLE]
process.execArgv.splice(process.execArgv.indexOf('--require'), 2)

installDescriptors((name, written) =>
  process[name].write(typeof written === 'string' ? written : Uint8Array.from(written)),
)
if (folder !== undefined) {
  const folderOf = (): string => folder
  process.cwd = folderOf
  installSitePaths(folderOf)
  installSiteNatives(folderOf)
}
installSiteWorkers(() => ({ env: process.env, cwd: folder }))
Module.syncBuiltinESMExports()
