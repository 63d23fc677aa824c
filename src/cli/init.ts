/**
 * `vhostel init DIR`: a fresh configuration with one working site, to grow from.
 *
 * Invariant: nothing that is there is overwritten; where one of the files is in the way, none is written.
 */
import { lstatSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { loadAll } from '../config/load-all.ts'
import { renderProblem } from '../config/problems.ts'
import { EXIT } from './exit-codes.ts'
import { FRESH_FILES, FRESH_SITE } from './fresh-files.ts'
import { makeFolders, writeNewFile } from './new-file.ts'
import { complain, paint, print, printJson } from './output.ts'
import { makeLink, sitePaths } from './site-links.ts'

/** Adds `vhostel init` to the program. */
export function addInit(program: Command): void {
  program
    .command('init')
    .argument('<dir>', 'folder for the configuration; created if it is missing')
    .description('Write a fresh configuration with one working site. Overwrites nothing.')
    .option('--json', 'print what was written as JSON')
    .addHelpText('after', HELP)
    .action(async (dir: string, options: { json?: boolean }) => {
      process.exitCode = await init(dir, resolve(dir), options.json === true)
    })
}

/** @param shown the folder as the person wrote it */
async function init(shown: string, dir: string, json: boolean): Promise<number> {
  if (shown === '') {
    complain("vhostel: the folder has no name; '.' is the one that you are in")
    return EXIT.usage
  }
  const paths = sitePaths(FRESH_SITE, join(dir, 'sites-enabled'))
  const files = Object.keys(FRESH_FILES).map((file) => join(dir, file))
  const inTheWay = [...files, paths.enabled].filter(exists)
  if (inTheWay.length > 0) {
    complain(`vhostel: nothing was written, because there is ${inTheWay.join(', ')} already`)
    return EXIT.wrong
  }
  makeFolders(dir)
  for (const [file, text] of Object.entries(FRESH_FILES)) writeNewFile(join(dir, file), text)
  makeLink(paths)
  const configFile = join(dir, 'vhostel.ini')
  // What keeps the fresh files from being used in this place, such as a path that is too long.
  const { problems } = await loadAll(configFile)
  const written = [...files, paths.enabled]
  if (json) printJson({ configFile, written, problems })
  else {
    for (const file of written) print(`wrote ${file}`)
    for (const problem of problems) complain(renderProblem(problem, dir))
    if (problems.length === 0) showNext(shown)
  }
  return problems.length > 0 ? EXIT.wrong : EXIT.ok
}

/** Says how to go on. */
function showNext(shown: string): void {
  print()
  print('Next:')
  print(`  ${paint('bold', `vhostel serve --config ${quoted(shown)}`)}`)
  print(`  ${paint('bold', `curl http://${FRESH_SITE}.localhost:8080/`)}      or open it in a browser`)
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
  $ vhostel init my-sites --json | jq -r '.written[]'
  $ sudo vhostel init /etc/vhostel`
