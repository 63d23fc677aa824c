/**
 * What vhostel.ini says of pools and what a site's file says of where it lives, in the words of the pool.
 */
import { environmentAs } from '../config/identity.ts'
import type { PoolConfig } from '../config/server-schema.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import { withHelperThreads } from '../core/helper-threads.ts'
import type { Residency } from '../pool/isolation.ts'
import type { SiteLimits } from '../pool/pool-site.ts'
import type { GroupSettings } from '../pool/process-group.ts'
import type { Machine } from '../pool/sizing.ts'
import { poolSize } from '../pool/sizing.ts'
import { SHARED_BRAKE } from '../pool/worker-process.ts'

/** Part of `memory` from which threads are replaced where the kernel ends whole processes at it: it counts more than we do. */
const BEFORE_THE_KERNEL = 0.9

/** What the groups of a server are made of, besides their settings. */
export interface GroupGrounds {
  machine: Machine
  /** The environment of the worker processes; sites see only their own. */
  env: NodeJS.ProcessEnv
  /** Whether the kernel keeps the limits of memory. */
  isKernelGuarded: boolean
}

export function groupSettings(pool: PoolConfig, { machine, env, isKernelGuarded }: GroupGrounds): GroupSettings {
  const { processes, threads, reason } = poolSize(machine, pool)
  return {
    name: pool.name,
    pool: pool.name,
    processes,
    threads,
    reason,
    limits: {
      memoryBytes:
        isKernelGuarded && pool.memoryBytes !== undefined ? pool.memoryBytes * BEFORE_THE_KERNEL : pool.memoryBytes,
      processMemoryBytes: pool.processMemoryBytes,
      threadMemoryBytes: pool.threadMemoryBytes,
      maxRequests: pool.maxRequests,
      maxAgeMs: pool.maxAgeMs,
    },
    process: {
      env: withHelperThreads(environmentAs(pool.identity, env), threads.max),
      uid: pool.identity?.uid,
      gid: pool.identity?.gid,
    },
    brake: SHARED_BRAKE,
    isOwn: false,
  }
}

export function residencyOf({ isolation, pool, identity, root }: SiteConfig): Residency {
  const environment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => environmentAs(identity, env)
  return { isolation, pool, uid: identity?.uid, gid: identity?.gid, environment, root }
}

export function siteLimits({ limits, idleMs, preload }: SiteConfig): SiteLimits {
  return { ...limits, idleMs, preload }
}
