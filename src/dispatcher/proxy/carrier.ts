/**
 * Which connection carries a request to an upstream, as far as that says whether the request may be sent again: one that was
 * kept may have been closed by the upstream before the request came; one that took no byte has told the upstream nothing.
 *
 * undici says neither to who asks, but publishes each head with its socket (`undici:client:sendHeaders`) between the handler's
 * `onRequestStart` and the write, all in one go. Invariant: nothing is held here of a connection that is gone.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { hearOut } from './early-answer.ts'

/** The connection of one attempt. */
export interface Carrier {
  /** Undefined until something is sent over it. */
  socket: Socket | undefined
  /** It had carried another request before. */
  wasKept: boolean
  /** Nothing could be written to it. Known before any failure is told. */
  tookNothing: boolean
}

const used = new WeakSet<Socket>()
let next: { carrier: Carrier; isInParts: boolean } | undefined

subscribe('undici:client:sendHeaders', (message) => {
  if (next === undefined) return
  const { carrier, isInParts } = next
  next = undefined
  const { socket } = message as { socket: Socket }
  carrier.socket = socket
  carrier.wasKept = used.has(socket)
  used.add(socket)
  hearOut(socket, isInParts)
  // A write that fails as a whole fails at once; what follows from it comes after this.
  process.nextTick(() => {
    carrier.tookNothing = socket.errored != null
  })
})

/** To be called in `onRequestStart`, of a request that is sent then. @param isInParts whether its body is still coming */
export function carrierOfThis(isInParts = false): Carrier {
  const carrier: Carrier = { socket: undefined, wasKept: false, tookNothing: false }
  next = { carrier, isInParts }
  return carrier
}
