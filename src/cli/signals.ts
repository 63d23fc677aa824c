/**
 * What the signals mean to a serving process: SIGINT and SIGTERM end it, SIGHUP reloads it, SIGUSR1 opens its
 * log files again (in the place of Node's inspector, which that signal would start).
 */
import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'

const ENDING = ['SIGINT', 'SIGTERM'] as const

export interface SignalHandlers {
  /** Called at each SIGHUP, unless that came because the terminal was closed. */
  onReload(): void
  /** Called at each SIGUSR1. */
  onReopen(): void
}

/** Resolves at the first SIGINT or SIGTERM. From then on a second one ends the process at once, with 128 + its number. */
export function untilToldToEnd({ onReload, onReopen }: SignalHandlers): Promise<void> {
  const atTerminal = process.stdout.isTTY
  return new Promise((resolve) => {
    let ending = false
    const end = (signal: NodeJS.Signals): void => {
      if (ending) process.exit(128 + constants.signals[signal])
      ending = true
      resolve()
    }
    for (const signal of ENDING) process.on(signal, end)
    process.on('SIGUSR1', onReopen)
    process.on('SIGHUP', (signal) => {
      if (atTerminal && isTerminalGone()) end(signal)
      else onReload()
    })
  })
}

/** A terminal that is closed sends SIGHUP too; by then the process has no controlling terminal any more. */
function isTerminalGone(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    return true
  }
}
