/**
 * Sites that start a process for each core by `node:cluster` are told that they are one of those already: they go
 * straight to listening, and the pool is what spreads them. Started processes would serve outside vhostel.
 *
 * Sockets for datagrams are real ones: there is no primary process that would share them out.
 */
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import { EventEmitter } from 'node:events'

type Bind = (this: dgram.Socket, ...args: unknown[]) => dgram.Socket

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
  bindHere()
}

/** Has `bind` ask for a socket of its own, whichever way it is called: what is not exclusive is asked of the primary process. */
function bindHere(): void {
  const { bind } = dgram.Socket.prototype as unknown as { bind: Bind }
  const bindOwn: Bind = function (...args) {
    const [first, second] = args
    const isHandle = typeof (first as { recvStart?: unknown } | null)?.recvStart === 'function'
    if (isHandle) return bind.apply(this, args)
    const isOptions = typeof first === 'object' && first !== null
    const port = typeof first === 'function' ? undefined : first
    const address = typeof second === 'function' ? undefined : second
    const options = isOptions ? { ...first, exclusive: true } : { port, address, exclusive: true }
    const callback = args.findLast((arg) => typeof arg === 'function')
    return bind.call(this, options, callback)
  }
  Object.assign(dgram.Socket.prototype, { bind: bindOwn })
}
