/**
 * Asks a program that is silent for any answer at all: a request of its own, on a connection of its own.
 *
 * `OPTIONS /` is what HAProxy asks servers by default (`option httpchk`): programs answer it without doing anything, whether they
 * know it or not. Limit: the time given; one connection.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Target } from '../proxy/target.ts'

/** Pause after a connection for which the program had no room. */
const FULL_PAUSE_MS = 1_000

/**
 * @param host as `Host`
 * @param signal ends the wait
 * @returns whether it sent a byte, or closed the connection, in time; nobody who listens is no sign
 */
export async function givesSign(
  target: Target,
  host: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  while (!late.aborted) {
    const outcome = await ask(target, host, late)
    if (outcome !== 'full') return outcome === 'sign'
    await delay(FULL_PAUSE_MS, undefined, { signal: late }).catch(() => {})
  }
  return false
}

/** `full`: not accepted yet, because too many wait for that (unix(7), EAGAIN). */
function ask(target: Target, host: string, late: AbortSignal): Promise<'sign' | 'none' | 'full'> {
  return new Promise((resolve) => {
    const socket = target.connect()
    let isConnected = false
    const done = (outcome: 'sign' | 'none' | 'full'): void => {
      late.removeEventListener('abort', giveUp)
      socket.destroy()
      resolve(outcome)
    }
    const giveUp = (): void => done('none')
    late.addEventListener('abort', giveUp)
    socket.once('connect', () => {
      isConnected = true
      socket.write(`OPTIONS / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: vhostel\r\nConnection: close\r\n\r\n`)
    })
    socket.once('data', () => done('sign'))
    socket.once('end', () => done('sign'))
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      done(isConnected ? 'sign' : code === 'EAGAIN' ? 'full' : 'none'),
    )
  })
}
