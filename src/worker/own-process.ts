/**
 * What a site in a process of its own may change of that process, and only the process' main thread can: the thread asks
 * its supervisor and waits, as these calls are synchronous. Relative paths, started processes and native code then follow.
 *
 * Limits: `TIMEOUT_MS`. The other threads of the site see it too, as they would in a program of its own.
 */
import { getSystemErrorMap } from 'node:util'
import { supervisorPort } from './supervisor-port.ts'
import type { ProcessQuestion } from './thread-options.ts'

const TIMEOUT_MS = 1_000
/** `UV_ETIMEDOUT`. */
const TIMED_OUT = -110
const WORDS = 2

/**
 * Has the supervisor change the working directory or the mask of new files' permissions.
 *
 * @returns what the call gives: the mask before, or 0
 * @throws an error of the system, as Node does; ETIMEDOUT when the supervisor does not answer
 */
export function askSupervisor(type: ProcessQuestion['type'], value: string | number): number {
  const answer = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)
  const words = new Int32Array(answer)
  const question: ProcessQuestion = { type, value, answer }
  supervisorPort?.postMessage(question)
  const isLate = Atomics.wait(words, 0, 0, TIMEOUT_MS) === 'timed-out'
  const result = isLate ? TIMED_OUT : Atomics.load(words, 1)
  if (result < 0) throw systemError(result, type, value)
  return result
}

function systemError(errno: number, type: ProcessQuestion['type'], value: string | number): Error {
  const [code, what] = getSystemErrorMap().get(errno) ?? ['UNKNOWN', 'unknown error']
  const path = type === 'chdir' ? ` ${process.cwd()} -> '${value}'` : ''
  return Object.assign(new Error(`${code}: ${what}, ${type}${path}`), { code, errno, syscall: type })
}
