/**
 * Makes the tarball that is published: `node scripts/pack.ts [folder]`. It is packed from a folder of its own, because
 * the manifest of the package is not the one of the checkout: that one brings its own Node for development (190 MB, which
 * nobody wants beside a command), and scripts that need what is not published.
 *
 * Invariant: nothing in the checkout is changed.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** Of the manifest, what is only for the checkout. */
const ONLY_HERE = ['scripts', 'devDependencies', 'optionalDependencies']

const repository = resolve(import.meta.dirname, '..')
const destination = resolve(process.argv[2] ?? '.')
const staging = mkdtempSync(join(tmpdir(), 'vhostel-pack-'))
try {
  compile()
  copyFiles()
  run('npm', ['pack', '--silent', '--pack-destination', destination], staging)
} finally {
  rmSync(staging, { recursive: true, force: true })
}

/** Source maps and declarations stay out: the package is a command, and its sources are not in it. */
function compile(): void {
  const compiler = join(repository, 'node_modules/.bin/tsc')
  const output = ['--outDir', join(staging, 'dist'), '--declaration', 'false', '--sourceMap', 'false']
  run(compiler, ['-p', 'tsconfig.build.json', ...output], repository)
}

function copyFiles(): void {
  const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as Record<string, unknown>
  const files = (manifest.files as string[]).filter((file) => file !== 'dist')
  for (const file of files) cpSync(join(repository, file), join(staging, file), { recursive: true })
  for (const key of ONLY_HERE) delete manifest[key]
  writeFileSync(join(staging, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
}

function run(command: string, args: string[], cwd: string): void {
  execFileSync(command, args, { cwd, stdio: 'inherit' })
}
