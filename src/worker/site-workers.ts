/**
 * Worker threads that a site starts itself (`node:worker_threads`: thread pools, transports of loggers) are at home where
 * the site is: they have its environment and its working directory, and what they write to descriptors 1 and 2 goes to its log.
 *
 * Node gives a worker the environment and the directory of the process, so a small file (own-worker.ts) runs in it before
 * the site's own. Limits: what else such a thread does (a server that listens, `process.exit`) is as on plain Node.
 * Invariant: workers that are no site's are as ever.
 */
import { fileURLToPath } from 'node:url'
import type { WorkerOptions } from 'node:worker_threads'
import { SHARE_ENV } from 'node:worker_threads'
import { entryUrl } from '../core/entry.ts'

/** What tells the worker its folder, or nothing: taken out of its environment before the site's code runs. */
export const FOLDER_VARIABLE = 'VHOSTEL_WORKER_FOLDER'

/** Where the code that is running is at home. */
export interface Home {
  env: NodeJS.ProcessEnv
  /** undefined where that is the working directory of the process. */
  cwd: string | undefined
}

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteWorkers(homeOf: () => Home | undefined): void {
  const threads = process.getBuiltinModule('node:worker_threads')
  const { Worker } = threads
  threads.Worker = new Proxy(Worker, {
    construct: (target, args: unknown[], newTarget) => {
      const home = homeOf()
      const own = home === undefined ? args : [args[0], optionsIn(home, args[1] as WorkerOptions | undefined)]
      return Reflect.construct(target, own, newTarget) as object
    },
  })
}

function optionsIn(home: Home, options: WorkerOptions = {}): WorkerOptions {
  const { env, execArgv = process.execArgv } = options
  const isInherited = env === undefined || env === null || env === SHARE_ENV
  const values = { ...(isInherited ? home.env : env), [FOLDER_VARIABLE]: home.cwd ?? '' }
  const before = ['--require', fileURLToPath(entryUrl(import.meta, './own-worker'))]
  return { ...options, env: values, execArgv: [...before, ...execArgv] }
}
