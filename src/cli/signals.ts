/**
 * What the signals mean to a serving process: SIGINT, SIGTERM and SIGQUIT end it, SIGHUP reloads it, SIGUSR1 opens its
 * log files again. Others that people send to servers do nothing: none ends it by accident.
 */
import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'

const ENDING = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const

/**
 * Resolves at the first SIGINT, SIGTERM or SIGQUIT. From then on a second one ends the process at once, with 128 + its number.
 *
 * @param onReload called at each SIGHUP until then, unless that came because the terminal was closed
 */
export function untilToldToEnd(onReload: () => void): Promise<void> {
  const atTerminal = process.stdout.isTTY
  return new Promise((resolve) => {
    let ending = false
    const end = (signal: NodeJS.Signals): void => {
      if (ending) process.exit(128 + constants.signals[signal])
      ending = true
      resolve()
    }
    for (const signal of ENDING) process.on(signal, end)
    process.on('SIGHUP', (signal) => {
      if (atTerminal && isTerminalGone()) end(signal)
      else if (!ending) onReload()
    })
  })
}

/**
 * Takes SIGHUP while the server starts, which would end it: it has read some files by then, and not the others.
 *
 * @returns to be called when `untilToldToEnd` has been: whether a reload was asked for meanwhile
 */
export function holdReload(): () => boolean {
  const atTerminal = process.stdout.isTTY
  let isAsked = false
  const hold = (signal: NodeJS.Signals): void => {
    if (atTerminal && isTerminalGone()) process.exit(128 + constants.signals[signal])
    isAsked = true
  }
  process.on('SIGHUP', hold)
  return () => {
    process.off('SIGHUP', hold)
    return isAsked
  }
}

/** Calls back at each SIGUSR2, which is for other servers: nginx takes it for an upgrade. From now on it ends nothing. */
export function whenToldToUpgrade(onUpgrade: () => void): void {
  process.on('SIGUSR2', onUpgrade)
}

/** Calls back at each SIGUSR1. From now on: until then Node answers it by listening for a debugger. */
export function whenToldToReopen(onReopen: () => void): void {
  process.on('SIGUSR1', onReopen)
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
