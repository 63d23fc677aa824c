/**
 * A site in a thread that it shares may close only descriptors of files. A socket, a pipe or one of the kernel's event
 * queues with a number is a neighbour's, or the event loop's: sites have theirs as objects, never as numbers.
 *
 * What a number is, the kernel says (`/proc/self/fd`, 5 µs; where there is none, nothing is refused). Limits: a file that a
 * neighbour has open by its number can be closed still; so can anything by native code. Invariant: vhostel's own code closes
 * what it likes.
 */
import fs from 'node:fs'
import { currentSite } from './request-context.ts'

type AnyFunction = (...args: unknown[]) => unknown

const { readlinkSync } = fs
/** `EBADF`: what close(2) says of a number that is not open. */
const BAD_DESCRIPTOR = -9
const LAST_STANDARD = 2

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteDescriptors(): void {
  const { close, closeSync } = fs
  const guardedSync = (fd: number): void => {
    if (isForeign(fd)) throw badDescriptor('close')
    closeSync(fd)
  }
  const guarded = (fd: number, callback?: (error: Error | null) => void): void => {
    if (!isForeign(fd)) return (close as AnyFunction)(fd, callback) as undefined
    const error = badDescriptor('close')
    if (typeof callback === 'function') process.nextTick(callback, error)
    else process.nextTick(() => raise(error))
  }
  replace('closeSync', closeSync, guardedSync as AnyFunction)
  replace('close', close, guarded as AnyFunction)
  guardBinding()
  noteSinks()
}

/** Every thread has some of its own for its standard streams: only those that a site has opened itself may it close. */
const SINK = '/dev/null'
const ownSinks = new Set<number>()

function noteSinks(): void {
  const { openSync } = fs
  const noting: AnyFunction = (path, ...rest) => {
    const fd = (openSync as AnyFunction)(path, ...rest)
    if (path === SINK && typeof fd === 'number') ownSinks.add(fd)
    return fd
  }
  replace('openSync', openSync, noting)
}

/** The old way to what is below `node:fs`: deprecated, and still there. */
function guardBinding(): void {
  const owner = process as unknown as { binding(name: string): object }
  const { binding } = owner
  owner.binding = (name) => {
    const found = binding.call(process, name)
    const { close } = found as { close?: AnyFunction }
    if (currentSite() === undefined || name !== 'fs' || close === undefined) return found
    const guarded: AnyFunction = (fd, ...rest) => {
      if (isForeign(fd)) throw badDescriptor('close')
      return close.call(found, fd, ...rest)
    }
    return Object.create(found, { close: { value: guarded, writable: true, configurable: true, enumerable: true } })
  }
}

function replace(name: 'close' | 'closeSync' | 'openSync', original: object, replacement: AnyFunction): void {
  Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original))
  Object.defineProperty(fs, name, { value: replacement, configurable: true, writable: true, enumerable: true })
}

/** Whether a site asks for a number that it cannot have by itself. */
function isForeign(fd: unknown): boolean {
  if (currentSite() === undefined || typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0) return false
  if (fd <= LAST_STANDARD) return true
  try {
    const target = readlinkSync(`/proc/self/fd/${fd}`)
    return target === SINK ? !ownSinks.delete(fd) : !target.startsWith('/')
  } catch {
    return false
  }
}

function badDescriptor(syscall: string): Error {
  const message = `EBADF: bad file descriptor, ${syscall}`
  return Object.assign(new Error(message), { code: 'EBADF', errno: BAD_DESCRIPTOR, syscall })
}

/** As Node does where `fs.close` has no callback. */
function raise(error: Error): never {
  throw error
}
