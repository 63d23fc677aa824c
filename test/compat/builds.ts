/**
 * Makes the production builds that `builds.test.ts` hosts, out of the small applications in `apps/`, by the frameworks'
 * own commands. Needs `npm ci --prefix test/compat`, and nothing else from outside.
 *
 * Limits: `BUILD_TIMEOUT_MS` a build.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

const HERE = import.meta.dirname
const BUILD_TIMEOUT_MS = 240_000

/** Where an application's sources are. */
export function appDir(name: string): string {
  return join(HERE, 'apps', name)
}

/**
 * Builds the Next application as `output: 'standalone'` and puts it together as Next's documentation says.
 *
 * @param target a folder that is not there yet @returns the folder with `server.js`
 */
export function buildNext(target: string): string {
  const dir = appDir('next')
  build('next', ['build'], dir)
  const standalone = join(dir, '.next/standalone')
  cpSync(standalone, target, { recursive: true, verbatimSymlinks: true })
  const root = join(target, 'apps/next')
  cpSync(join(dir, '.next/static'), join(root, '.next/static'), { recursive: true })
  cpSync(join(dir, 'public'), join(root, 'public'), { recursive: true })
  return root
}

/** Builds the SvelteKit application by its adapter for Node. @returns the folder with `index.js` */
export function buildSvelteKit(target: string): string {
  const dir = appDir('sveltekit')
  build('vite', ['build'], dir)
  cpSync(join(dir, 'build'), target, { recursive: true })
  return target
}

/** Builds the Nitro application. @returns the folder with `index.mjs` */
export function buildNitro(target: string): string {
  const dir = appDir('nitro')
  build('nitro', ['build'], dir)
  cpSync(join(dir, '.output'), target, { recursive: true })
  return join(target, 'server')
}

/** A copy of an application that needs no build, with what is installed for it. */
export function copyApp(name: string, target: string): string {
  cpSync(appDir(name), join(target, 'apps', name), { recursive: true })
  const modules = join(target, 'node_modules')
  if (!existsSync(modules)) symlinkSync(join(HERE, 'node_modules'), modules)
  return join(target, 'apps', name)
}

/** @throws with what the command printed */
function build(command: string, args: string[], cwd: string): void {
  const file = join(HERE, 'node_modules/.bin', command)
  if (!existsSync(file)) throw new Error(`${command} is not installed: run \`npm ci --prefix test/compat\` first`)
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' }
  try {
    execFileSync(file, args, { cwd, env, stdio: 'pipe', timeout: BUILD_TIMEOUT_MS })
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer }
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? error}`)
  }
}
