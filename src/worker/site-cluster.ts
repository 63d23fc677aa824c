/**
 * Sites that start a process for each core by `node:cluster` are told that they are one of those already: they go
 * straight to listening, and the pool is what spreads them. Started processes would serve outside vhostel.
 */
import cluster from 'node:cluster'
import { EventEmitter } from 'node:events'

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteCluster(): void {
  const worker = Object.assign(new EventEmitter(), {
    id: 1,
    process,
    isConnected: () => true,
    isDead: () => false,
    send: () => false,
    disconnect: () => worker,
    kill: () => {},
    exitedAfterDisconnect: false,
  })
  Object.assign(cluster, { isPrimary: false, isMaster: false, isWorker: true, worker })
}
