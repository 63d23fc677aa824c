/**
 * The cache of `require` (`Module._cache`, `require.cache`) as the code of a site has it: what is another's stays unseen,
 * and the site has an instance of its own (file-trace.ts says of what). All else is in Node's own cache, one for the thread.
 *
 * Asked at every use, so what a site requires late, in a handler, is its own as well. Invariant: code that is no site's
 * has Node's own cache.
 */
import Module from 'node:module'
import { claim, isApart } from './file-trace.ts'
import { currentSite } from './request-context.ts'

type Cache = Record<string, unknown>

interface CachedModule {
  /** Its folder. */
  path: string
}

/** Takes the place of Node's cache. Once a thread, before any site is loaded. */
export function installModuleCache(): void {
  const owner = Module as unknown as { _cache: Cache }
  const shared = owner._cache
  owner._cache = new Proxy(shared, {
    get: (_, path) => Reflect.get(cacheFor(shared, path), path),
    has: (_, path) => Reflect.has(cacheFor(shared, path), path),
    deleteProperty: (_, path) => Reflect.deleteProperty(cacheFor(shared, path), path),
    ownKeys: () => [...new Set([...Reflect.ownKeys(shared), ...Reflect.ownKeys(ownModules() ?? shared)])],
    getOwnPropertyDescriptor: (_, path) => Reflect.getOwnPropertyDescriptor(cacheFor(shared, path), path),
    defineProperty: (_, path, descriptor) => Reflect.defineProperty(cacheFor(shared, path), path, descriptor),
    set: (_, path, module: CachedModule) => {
      const files = currentSite()?.files
      if (files === undefined || typeof path !== 'string') return Reflect.set(shared, path, module)
      claim(files, path)
      if (!isApart(files, path)) return Reflect.set(shared, path, module)
      module.path = ownSpelling(module.path, files.generation)
      return Reflect.set(files.modules, path, module)
    },
  })
}

/** The cache that has, or is to have, the module of this path for the code that is running. */
function cacheFor(shared: Cache, path: string | symbol): Cache {
  const files = currentSite()?.files
  return files !== undefined && typeof path === 'string' && isApart(files, path) ? files.modules : shared
}

/**
 * The same folder, spelled as in no other generation. Node remembers by folder and request which file was found, and takes
 * a module of that file for one that has been loaded: not so where it was only looked through for its exports, for an `import`.
 */
function ownSpelling(folder: string, generation: number): string {
  const bits = generation.toString(2)
  return folder + bits.replaceAll('0', '/').replaceAll('1', '/.')
}

function ownModules(): Cache | undefined {
  return currentSite()?.files.modules
}
