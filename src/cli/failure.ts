/**
 * What a person reads when a command fails, and the exit code that goes with it. A failure that we know is one sentence
 * with its cure; one that we do not know shows where it came from.
 */
import { isDenied, ownUser } from '../core/denied.ts'
import { failureText } from '../core/descriptors.ts'
import { EXIT } from './exit-codes.ts'
import { complain } from './output.ts'

/** Says on standard error what went wrong. @returns the exit code */
export function reportFailure(error: unknown): number {
  const { code, message, stack } = error as { code?: unknown; message?: string; stack?: string }
  if (code === 'VHOSTEL_CONFIG_INVALID') {
    complain(message ?? '')
    complain("vhostel: the configuration cannot be used; 'vhostel check' shows every problem of every file")
    return EXIT.config
  }
  complain(`vhostel: ${sentence(error) ?? stack ?? String(error)}`)
  return code === 'VHOSTEL_CONFIG_NOT_FOUND' ? EXIT.config : EXIT.wrong
}

/** The message of a failure that a person can do something about; undefined for one that is a fault of the program. */
function sentence(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, syscall, message } = error as NodeJS.ErrnoException
  if (code?.startsWith('VHOSTEL_')) return message
  if (syscall === 'uv_cwd') return 'the current folder was removed: cd to one that is there'
  const text = failureText(error)
  if (text !== message) return text
  if (syscall === 'listen' && code !== undefined) return `${message}${LISTEN_CURES[code] ?? ''}`
  if (syscall === undefined) return undefined
  return isDenied(code) ? `${message}; this is user ${ownUser()}` : message
}

const LISTEN_CURES: Record<string, string> = {
  EACCES: '; a port below 1024 needs root, the capability CAP_NET_BIND_SERVICE, or another [server] listen',
  EAFNOSUPPORT: '; this machine has no IPv6: take the address out of [server] listen',
  EADDRNOTAVAIL: '; this machine has no such address: change [server] listen',
}
