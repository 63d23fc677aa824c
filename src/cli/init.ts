/**
 * `vhostel init DIR`: a fresh configuration with one working site, to grow from.
 *
 * Invariant: nothing that is there is overwritten; where one of the files is in the way, none is written.
 */
import { lstatSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { loadAll } from '../config/load-all.ts'
import { renderProblem } from '../config/problems.ts'
import { EXIT } from './exit-codes.ts'
import { FRESH_FILES, FRESH_SITE } from './fresh-files.ts'
import { writeNewFile } from './new-file.ts'
import { complain, paint, print } from './output.ts'
import { makeLink, sitePaths } from './site-links.ts'

/** Adds `vhostel init` to the program. */
export function addInit(program: Command): void {
  program
    .command('init')
    .argument('<dir>', 'folder for the configuration; created if it is missing')
    .description('Write a fresh configuration with one working site. Overwrites nothing.')
    .addHelpText('after', HELP)
    .action(async (dir: string) => {
      process.exitCode = await init(dir, resolve(dir))
    })
}

/** @param shown the folder as the person wrote it */
async function init(shown: string, dir: string): Promise<number> {
  const paths = sitePaths(FRESH_SITE, join(dir, 'sites-enabled'))
  const files = Object.keys(FRESH_FILES).map((file) => join(dir, file))
  const inTheWay = [...files, paths.enabled].filter(exists)
  if (inTheWay.length > 0) {
    complain(`vhostel: nothing was written, because there is ${inTheWay.join(', ')} already`)
    return EXIT.wrong
  }
  mkdirSync(dir, { recursive: true })
  for (const [file, text] of Object.entries(FRESH_FILES)) writeNewFile(join(dir, file), text)
  makeLink(paths)
  for (const file of [...files, paths.enabled]) print(`wrote ${file}`)
  return finish(shown, dir)
}

/** Says how to go on; or what keeps the fresh files from being used in this place, such as a path that is too long. */
async function finish(shown: string, dir: string): Promise<number> {
  const { problems, server } = await loadAll(join(dir, 'vhostel.ini'))
  for (const problem of problems) complain(renderProblem(problem, server.dir))
  if (problems.length > 0) return EXIT.wrong
  print()
  print('Next:')
  print(`  ${paint('bold', `vhostel serve --config ${quoted(shown)}`)}`)
  print(`  ${paint('bold', `curl http://${FRESH_SITE}.localhost:8080/`)}      or open it in a browser`)
  return EXIT.ok
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

/** As a shell takes it. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

const HELP = `
Writes vhostel.ini, logging.ini, sites-available/${FRESH_SITE}.ini, a link to it in sites-enabled/, and sites/${FRESH_SITE}/ with the
site's code.

Exit codes: 0 written, 1 one of these files exists already (then nothing is written).

Examples:
  $ vhostel init my-sites
  $ sudo vhostel init /etc/vhostel`
