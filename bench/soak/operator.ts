/**
 * The operator, and what happens to a server: edits, reloads, kills, faults, a few at a time, by chance. Each action
 * waits until what it did is in service, and says to the record what it may cost.
 *
 * Limits: one action a site at a time, and some beside no other; `SEEN_WITHIN_MS` until an edit has to be in service. Invariant: every action leaves the
 * server as whole as it found it, or brings it back itself.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Action, Tools } from './tools.ts'

const AT_A_TIME = 3
const PAUSE_MS = 400

/** Lets many do something, or one something that nobody may do anything beside. */
class Gate {
  #running = 0
  #isShut = false

  /** @returns to be called when it is over */
  async enter(isAlone: boolean): Promise<() => void> {
    while (this.#isShut) await delay(10)
    if (isAlone) {
      this.#isShut = true
      while (this.#running > 0) await delay(10)
      return () => {
        this.#isShut = false
      }
    }
    this.#running++
    return () => this.#running--
  }
}

/** Does things until `signal`; resolves when the last is done. */
export async function operate(
  actions: readonly Action[],
  { random, record, busy }: Tools,
  signal: AbortSignal,
): Promise<void> {
  const gate = new Gate()
  const worker = async (): Promise<void> => {
    while (!signal.aborted) {
      const choice = random.pick(actions)
      const free = choice.sites.filter((site) => !busy.has(site))
      if (free.length === 0) {
        await delay(10)
        continue
      }
      const site = random.pick(free)
      if (choice.isExclusive) busy.add(site)
      const leave = await gate.enter(choice.isAlone)
      console.log(`${Math.round(performance.now())} ms: ${choice.name} ${site.name}`)
      try {
        await choice.act(site)
      } catch (error) {
        record.problem(`${choice.name} ${site.name}: ${error instanceof Error ? error.message : String(error)}`)
      }
      leave()
      busy.delete(site)
      await delay(random.below(PAUSE_MS))
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
}
