/**
 * A site in a thread that it shares may close only descriptors of files that it has opened itself. Any other number is a
 * neighbour's, or the event loop's: sites have sockets and pipes as objects, never as numbers.
 *
 * What the kernel says of a number (`/proc/self/fd`) was not enough: one that is free, or a file, at the look can be another
 * thread's socket at the close. Limits: a number that a site's socket or thread has closed for it counts as the site's until it
 * is opened anew by number; native code can close anything. A package that sites share closes what it opened for the same site
 * only. Invariant: vhostel's own code closes what it likes.
 */
import fs from 'node:fs'
import { currentSite } from './request-context.ts'

type AnyFunction = (...args: unknown[]) => unknown

/** `EBADF`: what close(2) says of a number that is not open. */
const BAD_DESCRIPTOR = -9
/**
 * Which site, by name, has opened a number and not closed it: what one generation has opened, a package that it shares with the
 * next may close there. As many as there can be open descriptors, at most.
 */
const owners = new Map<number, string>()

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
    const site = currentSite()
    if (site !== undefined && typeof fd === 'number') owners.set(fd, site.name)
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

/** Whether a site asks for a number that it has not opened; it is about to be closed if not. What is no number, Node refuses. */
function isForeign(fd: unknown): boolean {
  const site = currentSite()
  if (site === undefined || typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0) return false
  if (owners.get(fd) !== site.name) return true
  owners.delete(fd)
  return false
}

function badDescriptor(syscall: string): Error {
  const message = `EBADF: bad file descriptor, ${syscall}`
  return Object.assign(new Error(message), { code: 'EBADF', errno: BAD_DESCRIPTOR, syscall })
}

/** As Node does where `fs.close` has no callback. */
function raise(error: Error): never {
  throw error
}
