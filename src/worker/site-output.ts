/**
 * What sites write to standard output and error goes to their own logs: by `console`, by `process.stdout`, and by file
 * descriptors 1 and 2 (site-descriptor-output.ts).
 */
import type { LogLevel } from '../protocol/frames.ts'
import { currentSite } from './request-context.ts'
import type { StreamName } from './site-descriptor-output.ts'
import { installDescriptors } from './site-descriptor-output.ts'

type AnyFunction = (...args: unknown[]) => unknown

/** `console.warn` writes to standard error like `console.error`; while it does, this says so. */
let isWarning = false

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteOutput(): void {
  for (const name of ['stdout', 'stderr'] as const) routeStream(name)
  routeWarnings()
  installDescriptors(giveToSite, () => currentSite() !== undefined)
}

function levelOf(name: StreamName): LogLevel {
  if (name === 'stdout') return 'out'
  return isWarning ? 'warn' : 'err'
}

/** Gives what is written to the log of the site whose code is running. @returns whether there is one */
function giveToSite(name: StreamName, written: string | Uint8Array): boolean {
  const site = currentSite()
  site?.write(name, levelOf(name), written)
  return site !== undefined
}

function routeStream(name: StreamName): void {
  const stream = process[name]
  const write = stream.write as AnyFunction
  const routed: AnyFunction = (chunk, encoding, callback) => {
    if (!giveToSite(name, toUtf8(chunk, encoding))) return write.call(stream, chunk, encoding, callback)
    const done = typeof encoding === 'function' ? encoding : callback
    if (typeof done === 'function') process.nextTick(done)
    return true
  }
  Object.defineProperty(stream, 'write', { value: routed, configurable: true, writable: true })
  keepOpen(stream, routed)
}

/** A site ends what it writes, not the stream, which is all sites' of the thread. */
function keepOpen(stream: NodeJS.WriteStream, write: AnyFunction): void {
  const { end, destroy } = stream as unknown as Record<'end' | 'destroy', AnyFunction>
  const ended: AnyFunction = (chunk, encoding, callback) => {
    if (currentSite() === undefined) return end.call(stream, chunk, encoding, callback)
    if (typeof chunk !== 'function' && chunk !== undefined && chunk !== null) write(chunk, encoding)
    const done = [chunk, encoding, callback].find((one) => typeof one === 'function') as AnyFunction | undefined
    if (done !== undefined) process.nextTick(done)
    return stream
  }
  const destroyed: AnyFunction = (error) => (currentSite() === undefined ? destroy.call(stream, error) : stream)
  Object.defineProperty(stream, 'end', { value: ended, configurable: true, writable: true })
  Object.defineProperty(stream, 'destroy', { value: destroyed, configurable: true, writable: true })
}

/** What `write` was called with, as text or as bytes of UTF-8. */
function toUtf8(chunk: unknown, encoding: unknown): string | Uint8Array {
  const isText = typeof chunk === 'string'
  if (!isText || typeof encoding !== 'string' || /^utf-?8$/i.test(encoding)) return chunk as string | Uint8Array
  return Buffer.from(chunk, encoding as BufferEncoding)
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
