/**
 * What is written to file descriptors 1 and 2 by number, which is how pino and other fast loggers write, goes where the
 * output of a site goes.
 *
 * Limit: native code, and programs that inherit the descriptors, write to the real ones.
 */
import fs from 'node:fs'

export type StreamName = 'stdout' | 'stderr'
/** Takes what was written: text, or bytes of UTF-8, which are the caller's again afterwards. */
type Give = (name: StreamName, written: string | Uint8Array) => unknown
type AnyFunction = (...args: unknown[]) => unknown
type Method = 'write' | 'writeSync' | 'writev' | 'writevSync'
type Route = (name: StreamName, args: unknown[]) => unknown

/** The numbers of standard output and error. */
export const DESCRIPTORS: ReadonlyMap<unknown, StreamName> = new Map<unknown, StreamName>([
  [1, 'stdout'],
  [2, 'stderr'],
])

/**
 * Takes over descriptors 1 and 2. Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards.
 *
 * @param give gets what is written
 * @param isOurs whether the code that is running is one whose output is taken
 */
export function installDescriptors(give: Give, isOurs: () => boolean = () => true): void {
  const { write, writeSync, writev, writevSync } = fs
  const take = (method: Method, original: unknown, route: Route): void => replace(method, original, isOurs, route)
  take('writeSync', writeSync, (name, args) => giveBytes(give, name, args))
  take('write', write, (name, args) => callBack(args, giveBytes(give, name, args), args[1]))
  take('writevSync', writevSync, (name, args) => giveMany(give, name, args))
  take('writev', writev, (name, args) => callBack(args, giveMany(give, name, args), args[1]))
}

/** Lets `route` do the work of an `fs` function where its first argument is standard output or error. */
function replace(method: Method, original: unknown, isOurs: () => boolean, route: Route): void {
  const routed: AnyFunction = function (this: unknown, ...args) {
    const name = DESCRIPTORS.get(args[0])
    if (name === undefined || !isOurs()) return (original as AnyFunction).apply(this, args)
    return route(name, args)
  }
  // Loggers look at the number of parameters to tell versions of Node apart; `promisify` at a symbol.
  Object.defineProperties(routed, Object.getOwnPropertyDescriptors(original as AnyFunction))
  Object.defineProperty(fs, method, { value: routed, configurable: true, writable: true, enumerable: true })
}

/** `(fd, buffer[, offset[, length]] …)`, `(fd, buffer, { offset, length })` or `(fd, string[, position[, encoding]])`. */
function giveBytes(give: Give, name: StreamName, args: readonly unknown[]): number {
  const [, data, from, length] = args
  if (typeof data === 'string') {
    give(name, data)
    return Buffer.byteLength(data)
  }
  const options = (typeof from === 'object' ? from : { offset: from, length }) as {
    offset?: unknown
    length?: unknown
  } | null
  const bytes = data as Uint8Array
  const offset = typeof options?.offset === 'number' ? options.offset : 0
  const size = typeof options?.length === 'number' ? options.length : bytes.byteLength - offset
  give(name, Buffer.from(bytes.buffer, bytes.byteOffset + offset, size))
  return size
}

function giveMany(give: Give, name: StreamName, args: readonly unknown[]): number {
  const all = Buffer.concat(args[1] as Uint8Array[])
  give(name, all)
  return all.byteLength
}

function callBack(args: readonly unknown[], bytes: number, data: unknown): void {
  const callback = args.findLast((arg) => typeof arg === 'function') as AnyFunction | undefined
  if (callback) process.nextTick(callback, null, bytes, data)
}
