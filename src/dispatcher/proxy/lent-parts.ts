/**
 * Parts of a client's body on their way to an upstream: their memory is given back as soon as the kernel has them, as that of
 * answers is (protocol/read-memory.ts). undici tells nobody when it has written a part, but its
 * socket hears of it (early-answer.ts).
 *
 * Invariant: only what was lent here is given back, and only after a write of it that succeeded.
 */
import type { ReadMemory } from '../../protocol/read-memory.ts'
import { ownMemory } from '../../protocol/read-memory.ts'

const lent = new WeakMap<Uint8Array, ReadMemory>()

/** @param part nobody has it but who writes it; where somebody may have another part of its memory, nothing is done */
export function lend(part: Uint8Array): void {
  const memory = ownMemory(part)
  if (memory !== undefined) lent.set(part, memory)
}

/** The kernel has it. @param part anything that was written */
export function giveBack(part: unknown): void {
  if (part instanceof Uint8Array) lent.get(part)?.release()
}
