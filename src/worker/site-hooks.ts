/**
 * Module hooks that a site registers in a thread that sites share. Those that run in the thread (`module.registerHooks`) are
 * made to see the modules of that site alone.
 *
 * Limit: those that run in a thread of their own (`module.register`) are for everybody whose code is loaded here from then on,
 * and nothing tells them whose it is. They are registered, and the site is told of, so that it gets a process of its own.
 */
import Module from 'node:module'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'

/**
 * Once a thread, before any site is loaded and after vhostel's own hooks; `syncBuiltinESMExports` afterwards.
 *
 * @param tell has it known that a site does what concerns all sites of the thread
 */
export function installSiteHooks(tell: (site: Site, text: string) => void): void {
  const { register, registerHooks } = Module
  Module.registerHooks = ({ resolve, load }) => {
    const site = currentSite()
    const isForeign = (): boolean => site !== undefined && currentSite() !== site
    return registerHooks({
      ...(resolve && {
        resolve: (name, context, next) => (isForeign() ? next(name, context) : resolve(name, context, next)),
      }),
      ...(load && { load: (url, context, next) => (isForeign() ? next(url, context) : load(url, context, next)) }),
    })
  }
  Module.register = ((...args: Parameters<typeof register>) => {
    const site = currentSite()
    if (site !== undefined) tell(site, 'registered module hooks (module.register), which are for all sites of a thread')
    return register(...args)
  }) as typeof register
}
