/**
 * The objects of a thread that shared-globals.ts watches, with their names: a list, and nothing that is decided at run
 * time. Only what is loaded anyway: no name here makes Node load one of its lazy parts. Node's own `domain` changes every
 * emitter as soon as it is loaded, and is treated as any other that does.
 */
import asyncHooks from 'node:async_hooks'
import childProcess from 'node:child_process'
import crypto from 'node:crypto'
import events from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import Module from 'node:module'
import net from 'node:net'
import path from 'node:path'
import process from 'node:process'
import querystring from 'node:querystring'
import stream from 'node:stream'
import timers from 'node:timers'
import tls from 'node:tls'
import url from 'node:url'
import util from 'node:util'
import zlib from 'node:zlib'

export interface WatchedObject {
  name: string
  object: object
  /** Whether methods that it inherits count as its own. */
  inherits: boolean
  isExtensible: boolean
  /** Only these members; also such as are no functions. */
  only?: readonly PropertyKey[]
  /** Members that well-known packages replace, and get back without being blamed. */
  isQuiet?: (key: PropertyKey) => boolean
}

const LANGUAGE_CLASSES = [
  'Object',
  'Function',
  'Array',
  'String',
  'Number',
  'Boolean',
  'Symbol',
  'BigInt',
  'Date',
  'RegExp',
  'Promise',
  'Error',
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  'ArrayBuffer',
  'Uint8Array',
] as const

const NODE_GLOBAL_CLASSES = [
  'Buffer',
  'URL',
  'URLSearchParams',
  'AbortController',
  'AbortSignal',
  'Event',
  'EventTarget',
  'TextEncoder',
  'TextDecoder',
  'Headers',
  'Request',
  'Response',
] as const

const GLOBAL_FUNCTIONS = [
  ...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'],
  ...['queueMicrotask', 'structuredClone', 'fetch', 'parseInt', 'parseFloat', 'isNaN', 'isFinite'],
  ...['encodeURIComponent', 'decodeURIComponent', 'encodeURI', 'decodeURI', 'escape', 'unescape', 'eval'],
  ...['JSON', 'Math', 'Reflect', 'Atomics', 'Proxy', 'WeakRef', 'FinalizationRegistry', 'console', 'process'],
]

/** Only the names: what they stand for is changed by nobody, or is big. */
const GLOBAL_NAMES = [
  ...['FormData', 'Blob', 'File', 'ReadableStream', 'WritableStream', 'WebSocket', 'CustomEvent'],
  ...[
    'TypeError',
    'RangeError',
    'SyntaxError',
    'ReferenceError',
    'AggregateError',
    'DataView',
    'Int32Array',
    'Float64Array',
  ],
  ...['MessageChannel', 'Intl', 'atob', 'btoa', 'global', 'globalThis'],
] as const

/** What `fetch` sends requests by: `setGlobalDispatcher` of undici changes it, for a proxy or for a mock. */
const FETCH_DISPATCHER = Symbol.for('undici.globalDispatcher.1')

/** Everything that is watched, as it is now. */
export function listWatched(): WatchedObject[] {
  return [...languageObjects(), ...nodeClasses(), ...nodeModules(), ...processObjects()]
}

function watched(name: string, object: object, rest: Partial<WatchedObject> = {}): WatchedObject {
  return { name, object, inherits: false, isExtensible: Object.isExtensible(object), ...rest }
}

function classObjects(name: string, owner: { prototype?: unknown } & object): WatchedObject[] {
  return [watched(name, owner), watched(`${name}.prototype`, owner.prototype as object, { inherits: true })]
}

function languageObjects(): WatchedObject[] {
  const names = [...LANGUAGE_CLASSES, ...NODE_GLOBAL_CLASSES]
  const iterator = Object.getPrototypeOf([][Symbol.iterator]()) as object
  const generator = Object.getPrototypeOf((function* () {})()) as object
  return [
    // @hono/node-server puts lighter ones there, and takes Node's own as well.
    watched('globalThis', globalThis, {
      only: [...names, ...GLOBAL_FUNCTIONS, ...GLOBAL_NAMES, FETCH_DISPATCHER],
      isQuiet: (key) => key === 'Request' || key === 'Response',
    }),
    ...names.flatMap((name) => classObjects(name, globalThis[name])).map(withQuietMembers),
    watched('JSON', JSON),
    watched('Math', Math),
    watched('Reflect', Reflect),
    watched('console', console),
    watched('TypedArray.prototype', Object.getPrototypeOf(Uint8Array.prototype) as object),
    watched('ArrayIterator.prototype', iterator),
    watched('Iterator.prototype', Object.getPrototypeOf(iterator) as object),
    watched('Generator.prototype', Object.getPrototypeOf(Object.getPrototypeOf(generator)) as object),
  ]
}

/**
 * `Error.prepareStackTrace` is each site's own (site-stacks.ts): where one defines it anew it is put back, and no harm done.
 * core-js, which is inside many packages, has functions tell another text of themselves, for looks.
 */
const QUIET_MEMBERS: Readonly<Record<string, string>> = {
  Error: 'prepareStackTrace',
  'Function.prototype': 'toString',
}

function withQuietMembers(object: WatchedObject): WatchedObject {
  const quiet = QUIET_MEMBERS[object.name]
  return quiet === undefined ? object : { ...object, isQuiet: (key) => key === quiet }
}

function nodeClasses(): WatchedObject[] {
  return [
    ...classObjects('EventEmitter', events.EventEmitter),
    ...classObjects('http.Server', http.Server),
    ...classObjects('http.IncomingMessage', http.IncomingMessage),
    ...classObjects('http.OutgoingMessage', http.OutgoingMessage),
    ...classObjects('http.ServerResponse', http.ServerResponse),
    ...classObjects('http.ClientRequest', http.ClientRequest),
    ...classObjects('http.Agent', http.Agent),
    ...classObjects('https.Server', https.Server),
    ...classObjects('net.Server', net.Server),
    ...classObjects('net.Socket', net.Socket),
    ...classObjects('stream.Stream', stream.Stream),
    ...classObjects('stream.Readable', stream.Readable),
    ...classObjects('stream.Writable', stream.Writable),
    ...classObjects('stream.Duplex', stream.Duplex),
    ...classObjects('stream.Transform', stream.Transform),
    ...classObjects('ChildProcess', childProcess.ChildProcess),
    ...classObjects('Module', Module),
    ...classObjects('AsyncLocalStorage', asyncHooks.AsyncLocalStorage),
    ...classObjects('AsyncResource', asyncHooks.AsyncResource),
  ]
}

function nodeModules(): WatchedObject[] {
  const extensions = (Module as unknown as { _extensions: object })._extensions
  return [
    watched('http', http),
    watched('https', https),
    watched('net', net),
    watched('tls', tls),
    // Old names, which Node defines anew where they are first read.
    watched('crypto', crypto, { isQuiet: (key) => key === 'prng' || key === 'rng' || key === 'pseudoRandomBytes' }),
    watched('zlib', zlib),
    watched('util', util),
    watched('url', url),
    watched('querystring', querystring),
    watched('stream', stream),
    watched('timers', timers),
    watched('path', path),
    watched('child_process', childProcess),
    // graceful-fs, which many packages have, replaces these in a way that harms nobody.
    watched('fs', fs, { isQuiet: (key) => key === 'close' || key === 'closeSync' }),
    watched('fs.promises', fs.promises),
    watched('Module._extensions', extensions),
  ]
}

/**
 * graceful-fs keeps the working directory that it sees first, signal-exit replaces `emit` and `reallyExit`: packages like
 * these are in most programs, and go on well without.
 */
function processObjects(): WatchedObject[] {
  return [
    watched('process', process, { isQuiet: () => true }),
    watched('process.stdout', process.stdout, { only: ['write'] }),
    watched('process.stderr', process.stderr, { only: ['write'] }),
  ]
}
