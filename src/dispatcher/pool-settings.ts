/**
 * What vhostel.ini says of pools and what a site's file says of where it lives, in the words of the pool.
 */
import { environmentAs } from '../config/identity.ts'
import type { PoolConfig } from '../config/server-schema.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { Residency } from '../pool/isolation.ts'
import type { SiteLimits } from '../pool/pool-site.ts'
import type { GroupSettings } from '../pool/process-group.ts'
import type { Machine } from '../pool/sizing.ts'
import { poolSize } from '../pool/sizing.ts'
import { SHARED_BRAKE } from '../pool/worker-process.ts'

/** @param env the environment of the worker processes; sites see only their own */
export function groupSettings(pool: PoolConfig, machine: Machine, env: NodeJS.ProcessEnv): GroupSettings {
  const { processes, threads, reason } = poolSize(machine, pool)
  return {
    name: pool.name,
    processes,
    threads,
    reason,
    limits: {
      memoryBytes: pool.memoryBytes,
      processMemoryBytes: pool.processMemoryBytes,
      threadMemoryBytes: pool.threadMemoryBytes,
      maxRequests: pool.maxRequests,
      maxAgeMs: pool.maxAgeMs,
    },
    process: { env: environmentAs(pool.identity, env), uid: pool.identity?.uid, gid: pool.identity?.gid },
    brake: SHARED_BRAKE,
    isOwn: false,
  }
}

export function residencyOf({ isolation, pool, identity, root }: SiteConfig): Residency {
  return { isolation, pool, uid: identity?.uid, gid: identity?.gid, root }
}

export function siteLimits({ limits, idleMs, preload }: SiteConfig): SiteLimits {
  return { ...limits, idleMs, preload }
}
