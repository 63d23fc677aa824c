/**
 * vhostel as it is published: the checkout compiled to JavaScript, in a folder of its own beside a link to the
 * checkout's node_modules. Run from its sources, every process and thread holds Node's TypeScript compiler as well, which
 * is some 15 MB each.
 */
import { cpSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { startChild } from './children.ts'
import { removeFolder, temporaryFolder } from './temporary-folder.ts'

const REPOSITORY = resolve(import.meta.dirname, '..')

export interface Built extends Disposable {
  /** Path of its `bin/vhostel.js`. */
  readonly command: string
}

/** Compiles the checkout; some seconds. @throws with what the compiler says */
export async function buildVhostel(): Promise<Built> {
  const folder = temporaryFolder('built')
  cpSync(join(REPOSITORY, 'bin'), join(folder, 'bin'), { recursive: true })
  cpSync(join(REPOSITORY, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(REPOSITORY, 'node_modules'), join(folder, 'node_modules'))
  await compileTo(join(folder, 'dist'))
  return { command: join(folder, 'bin/vhostel.js'), [Symbol.dispose]: () => removeFolder(folder) }
}

async function compileTo(folder: string): Promise<void> {
  const compiler = join(REPOSITORY, 'node_modules/.bin/tsc')
  const options = ['--outDir', folder, '--declaration', 'false', '--sourceMap', 'false', '--noCheck']
  await using child = await startChild(compiler, ['-p', join(REPOSITORY, 'tsconfig.build.json'), ...options])
  await child.ended
  if (child.exitCode !== 0) throw new Error(`vhostel could not be built:\n${child.output}`)
}
