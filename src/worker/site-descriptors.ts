/**
 * A site in a thread that it shares may close only descriptors of files that sites of the thread have opened. Any other
 * number is a neighbour's in another thread, or the event loop's: sites have sockets and pipes as objects, never as numbers.
 *
 * What the kernel says of a number (`/proc/self/fd`) was not enough: one that is free, or a file, at the look can be another
 * thread's socket at the close. Limits: a file that a neighbour in the same thread has open by its number can be closed still;
 * so can anything by native code. Invariant: vhostel's own code closes what it likes.
 */
import fs from 'node:fs'
import { currentSite } from './request-context.ts'

type AnyFunction = (...args: unknown[]) => unknown

/** `EBADF`: what close(2) says of a number that is not open. */
const BAD_DESCRIPTOR = -9
/** What sites have opened by number, and not closed. */
const opened = new Set<number>()

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
  noteOpened()
}

function noteOpened(): void {
  const { open, openSync } = fs
  const noteIt = (fd: unknown): void => {
    if (currentSite() !== undefined && typeof fd === 'number') opened.add(fd)
  }
  const notingSync: AnyFunction = (...args) => {
    const fd = (openSync as AnyFunction)(...args)
    noteIt(fd)
    return fd
  }
  const noting: AnyFunction = (...args) => {
    const at = args.findLastIndex((arg) => typeof arg === 'function')
    const callback = args[at] as AnyFunction | undefined
    if (callback === undefined) return (open as AnyFunction)(...args)
    args[at] = (error: unknown, fd: unknown): unknown => {
      noteIt(fd)
      return callback(error, fd)
    }
    return (open as AnyFunction)(...args)
  }
  replace('openSync', openSync, notingSync)
  replace('open', open, noting)
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

function replace(name: 'close' | 'closeSync' | 'open' | 'openSync', original: object, replacement: AnyFunction): void {
  Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original))
  Object.defineProperty(fs, name, { value: replacement, configurable: true, writable: true, enumerable: true })
}

/** Whether a site asks for a number that it cannot have by itself. What is no number, Node refuses. */
function isForeign(fd: unknown): boolean {
  if (currentSite() === undefined || typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0) return false
  return !opened.delete(fd)
}

function badDescriptor(syscall: string): Error {
  const message = `EBADF: bad file descriptor, ${syscall}`
  return Object.assign(new Error(message), { code: 'EBADF', errno: BAD_DESCRIPTOR, syscall })
}

/** As Node does where `fs.close` has no callback. */
function raise(error: Error): never {
  throw error
}
