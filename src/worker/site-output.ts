/**
 * What sites write to standard output and error goes to their own logs: by `console`, by `process.stdout`, and by file
 * descriptors 1 and 2, which is how pino and other fast loggers write.
 */
import fs from 'node:fs'
import type { LogLevel } from '../protocol/frames.ts'
import { currentSite } from './request-context.ts'

type AnyFunction = (...args: unknown[]) => unknown
type StreamName = 'stdout' | 'stderr'

/** `console.warn` writes to standard error like `console.error`; while it does, this says so. */
let isWarning = false

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteOutput(): void {
  for (const name of ['stdout', 'stderr'] as const) routeStream(name)
  routeWarnings()
  routeDescriptors()
}

function levelOf(name: StreamName): LogLevel {
  if (name === 'stdout') return 'out'
  return isWarning ? 'warn' : 'err'
}

/** Gives text to the log of the site whose code is running. @returns whether there is one */
function giveToSite(name: StreamName, text: string): boolean {
  const site = currentSite()
  site?.write(name, levelOf(name), text)
  return site !== undefined
}

function routeStream(name: StreamName): void {
  const stream = process[name]
  const write = stream.write as AnyFunction
  const routed: AnyFunction = (chunk, encoding, callback) => {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('utf8')
    if (!giveToSite(name, text)) return write.call(stream, chunk, encoding, callback)
    const done = typeof encoding === 'function' ? encoding : callback
    if (typeof done === 'function') process.nextTick(done)
    return true
  }
  Object.defineProperty(stream, 'write', { value: routed, configurable: true, writable: true })
}

function routeWarnings(): void {
  const { warn } = console
  console.warn = (...args: unknown[]) => {
    isWarning = true
    try {
      warn(...args)
    } finally {
      isWarning = false
    }
  }
}

// ---- file descriptors ------------------------------------------------------------------------------------------------

const DESCRIPTORS = new Map<unknown, StreamName>([
  [1, 'stdout'],
  [2, 'stderr'],
])

function routeDescriptors(): void {
  const { write, writeSync, writev, writevSync } = fs
  replace('writeSync', writeSync, (name, args) => giveBytes(name, args))
  replace('write', write, (name, args) => callBack(args, giveBytes(name, args), args[1]))
  replace('writevSync', writevSync, (name, args) => giveMany(name, args))
  replace('writev', writev, (name, args) => callBack(args, giveMany(name, args), args[1]))
}

/** Lets `route` do the work of an `fs` function where its first argument is the standard output or error of a site. */
function replace(
  method: 'write' | 'writeSync' | 'writev' | 'writevSync',
  original: unknown,
  route: (name: StreamName, args: unknown[]) => unknown,
): void {
  const routed: AnyFunction = function (this: unknown, ...args) {
    const name = DESCRIPTORS.get(args[0])
    if (name === undefined || currentSite() === undefined) return (original as AnyFunction).apply(this, args)
    return route(name, args)
  }
  // Loggers look at the number of parameters to tell versions of Node apart.
  Object.defineProperty(routed, 'length', { value: (original as AnyFunction).length })
  Object.defineProperty(fs, method, { value: routed, configurable: true, writable: true, enumerable: true })
}

/** `(fd, buffer[, offset[, length]] …)`, `(fd, buffer, { offset, length })` or `(fd, string[, position[, encoding]])`. */
function giveBytes(name: StreamName, args: readonly unknown[]): number {
  const [, data, from, length] = args
  if (typeof data === 'string') {
    giveToSite(name, data)
    return Buffer.byteLength(data)
  }
  const options = (typeof from === 'object' ? from : { offset: from, length }) as {
    offset?: unknown
    length?: unknown
  } | null
  const bytes = data as Uint8Array
  const offset = typeof options?.offset === 'number' ? options.offset : 0
  const size = typeof options?.length === 'number' ? options.length : bytes.byteLength - offset
  giveToSite(name, Buffer.from(bytes.buffer, bytes.byteOffset + offset, size).toString('utf8'))
  return size
}

function giveMany(name: StreamName, args: readonly unknown[]): number {
  const all = Buffer.concat(args[1] as Uint8Array[])
  giveToSite(name, all.toString('utf8'))
  return all.byteLength
}

function callBack(args: readonly unknown[], bytes: number, data: unknown): void {
  const callback = args.findLast((arg) => typeof arg === 'function') as AnyFunction | undefined
  if (callback) process.nextTick(callback, null, bytes, data)
}
