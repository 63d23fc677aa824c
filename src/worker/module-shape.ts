/**
 * Tells from a module's exports what kind of site it is. Pure: looks, and calls nothing.
 *
 * Order: a `fetch` export; a server, a Fastify instance, a Koa app; a function by its marks and its parameters. What
 * fits none may still call `listen()`. A said type (`type =` in the INI) is taken at its word.
 */
import type { RequestListener, Server } from 'node:http'
import type { ModuleType } from '../protocol/frames.ts'
import { parameterNames, sourceOf } from './parameter-names.ts'

// biome-ignore lint/complexity/noBannedTypes: what a site exports is any function at all
type AnyFunction = Function
type AnyObject = Record<PropertyKey, unknown>

/** What a Fastify instance has that is needed of it, in every version since 3. */
export interface FastifyLike {
  server: Server
  log: object
  routing?: RequestListener
  ready(): PromiseLike<unknown>
  listen?(address: { port: number; host: string }): PromiseLike<unknown>
  close(): PromiseLike<unknown>
  register(plugin: unknown, options?: unknown): unknown
}

export type FetchFunction = (request: Request, env: unknown, ctx: unknown) => unknown

/** What a module's exports are. */
export type FoundShape =
  | { kind: 'fetch'; fetch: FetchFunction; owner: object | undefined }
  | { kind: 'server'; server: Server }
  | { kind: 'fastify'; app: FastifyLike }
  /** @property settings what the module exports as `options`, for the instance itself */
  | { kind: 'plugin'; plugin: AnyFunction; settings: AnyObject | undefined }
  | { kind: 'handler'; listener: RequestListener }
  /** Nothing that could answer: the module calls `listen()`, or it is no site. */
  | { kind: 'none' }
  /** Something that could be two things, or is not of the type that was said. */
  | { kind: 'unclear'; problem: string }

/** @param exported a namespace of an ES module, or `module.exports` */
export function findShape(exported: unknown, type: ModuleType): FoundShape {
  switch (type) {
    case 'auto':
      return guess(exported)
    case 'listen':
      return { kind: 'none' }
    case 'fetch':
      return asFetch(exported) ?? wrong(type, 'export default { fetch(request) }, or a function of one Request')
    case 'fastify':
      return asFastify(exported) ?? wrong(type, 'export default async function (fastify, options)')
    case 'handler':
      return asHandler(exported) ?? wrong(type, 'export default function (req, res), an Express or a Koa app')
    default:
      return type satisfies never
  }
}

function wrong(type: ModuleType, expected: string): FoundShape {
  return { kind: 'unclear', problem: `type = ${type} is set, but the module exports nothing of that kind: ${expected}` }
}

function guess(exported: unknown): FoundShape {
  const fetching = fetchMember(exported)
  if (fetching) return fetching
  const main = mainExport(exported)
  if (isServer(main)) return { kind: 'server', server: main }
  if (isFastify(main)) return { kind: 'fastify', app: main }
  if (isKoa(main)) return { kind: 'handler', listener: main.callback() }
  if (typeof main === 'function') return guessFunction(main, settingsOf(exported))
  const { handler } = asObject(exported)
  return typeof handler === 'function' ? { kind: 'handler', listener: handler as RequestListener } : { kind: 'none' }
}

// ---- what is what ------------------------------------------------------------------------------------------------

function asObject(value: unknown): AnyObject {
  return (typeof value === 'object' && value !== null) || typeof value === 'function' ? (value as AnyObject) : {}
}

/** The default export; what compilers put around it for CommonJS taken off. */
function mainExport(exported: unknown): unknown {
  let main = exported
  for (let depth = 0; depth < 3; depth++) {
    const inner = asObject(main).default
    if (inner === undefined || inner === null) break
    main = inner
  }
  return main === exported && isNamespace(exported) ? undefined : main
}

function isNamespace(value: unknown): boolean {
  return asObject(value)[Symbol.toStringTag] === 'Module'
}

function fetchMember(exported: unknown): FoundShape | undefined {
  for (const owner of [mainExport(exported), exported]) {
    const { fetch } = asObject(owner)
    if (typeof fetch !== 'function') continue
    const isNamed = isNamespace(owner)
    return { kind: 'fetch', fetch: fetch as FetchFunction, owner: isNamed ? undefined : (owner as object) }
  }
  return undefined
}

function isServer(value: unknown): value is Server {
  const { listen, close, on, listeners } = asObject(value)
  const hasMethods = [listen, close, on, listeners].every((method) => typeof method === 'function')
  return hasMethods && 'listening' in (value as object)
}

function isFastify(value: unknown): value is FastifyLike {
  const object = asObject(value)
  const hasState = Object.getOwnPropertySymbols(object).some((symbol) => symbol.description === 'fastify.state')
  return hasState && typeof object.ready === 'function' && typeof object.register === 'function'
}

function isKoa(value: unknown): value is { callback(): RequestListener } {
  const { callback, use } = asObject(value)
  return typeof value === 'object' && typeof callback === 'function' && typeof use === 'function'
}

/** Express and Connect: a function that is also an object with middleware. */
function isExpressLike(value: AnyFunction): boolean {
  const { handle, use } = asObject(value)
  return typeof handle === 'function' && typeof use === 'function'
}

/** The mark of `fastify-plugin`. */
function isMarkedPlugin(value: AnyFunction): boolean {
  return (
    asObject(value)[Symbol.for('skip-override')] === true || asObject(value)[Symbol.for('plugin-meta')] !== undefined
  )
}

/** `export const options`: settings for the Fastify instance, as fastify-cli takes them. */
function settingsOf(exported: unknown): AnyObject | undefined {
  const { options } = asObject(exported)
  return typeof options === 'object' && options !== null ? (options as AnyObject) : undefined
}

// ---- functions ---------------------------------------------------------------------------------------------------

const FASTIFY = /^(fastify|instance)$/i
const FASTIFY_OR_APP = /^(fastify|instance|app|server)$/i
const REQUEST = /^(req|request)$/i
const RESPONSE = /^(res|resp|response|rep|reply)$/i
const OPTIONS = /^(o|opt|opts|options|config|settings|pluginOptions|pluginOpts)$/i
const ENVIRONMENT = /^(env|environment|bindings|ctx|context|server)$/i

function guessFunction(main: AnyFunction, settings: AnyObject | undefined): FoundShape {
  if (isExpressLike(main)) return { kind: 'handler', listener: main as RequestListener }
  if (/^class\b/.test(sourceOf(main))) {
    return { kind: 'unclear', problem: 'the module exports a class; export a handler, a fetch function or an instance' }
  }
  const plugin: FoundShape = { kind: 'plugin', plugin: main, settings }
  if (isMarkedPlugin(main)) return plugin
  const names = parameterNames(main as (...args: never[]) => unknown)?.map((name) => name.replace(/^_+/, ''))
  const count = names?.length ?? main.length
  const [first = '', second = ''] = names ?? []
  if (FASTIFY.test(first)) return plugin
  if (count < 2) {
    return FASTIFY_OR_APP.test(first)
      ? plugin
      : { kind: 'fetch', fetch: main as unknown as FetchFunction, owner: undefined }
  }
  if (RESPONSE.test(second)) return { kind: 'handler', listener: main as RequestListener }
  if (REQUEST.test(first) && ENVIRONMENT.test(second)) {
    return { kind: 'fetch', fetch: main as unknown as FetchFunction, owner: undefined }
  }
  if (OPTIONS.test(second) || FASTIFY_OR_APP.test(first) || settings !== undefined) return plugin
  const shown = names ? `(${names.map((name) => name || '…').join(', ')})` : `of ${count} parameters`
  return {
    kind: 'unclear',
    problem:
      `the module exports a function ${shown}, which may be a Node handler (req, res) or a Fastify plugin ` +
      '(fastify, options); say which with [site] type = handler, or type = fastify',
  }
}

// ---- said types ----------------------------------------------------------------------------------------------------

function asFetch(exported: unknown): FoundShape | undefined {
  const member = fetchMember(exported)
  if (member) return member
  const main = mainExport(exported)
  return typeof main === 'function' ? { kind: 'fetch', fetch: main as FetchFunction, owner: undefined } : undefined
}

function asFastify(exported: unknown): FoundShape | undefined {
  const main = mainExport(exported)
  if (isFastify(main)) return { kind: 'fastify', app: main }
  return typeof main === 'function' ? { kind: 'plugin', plugin: main, settings: settingsOf(exported) } : undefined
}

function asHandler(exported: unknown): FoundShape | undefined {
  const main = mainExport(exported)
  if (isServer(main)) return { kind: 'server', server: main }
  if (isKoa(main)) return { kind: 'handler', listener: main.callback() }
  const { handler } = asObject(exported)
  const listener = typeof main === 'function' ? main : handler
  return typeof listener === 'function' ? { kind: 'handler', listener: listener as RequestListener } : undefined
}
