/**
 * Sites made with Fastify: a plugin, registered in an instance of its own, or an instance that the module exports.
 *
 * The instance is of the site's own `fastify` if it has one, so that its plugins and their versions fit; else of
 * vhostel's. Requests go straight to its router. Invariant: the instance is ready before the first request.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { inspect } from 'node:util'
import type { LogLevel } from '../protocol/frames.ts'
import type { Exchange, RequestFrame, Wire } from './exchange.ts'
import { openNodeExchange } from './http-adapter.ts'
import type { NodeHandler } from './http-exchange.ts'
import { LoadProblem } from './load-failure.ts'
import type { FastifyLike, FoundShape } from './module-shape.ts'
import type { Site, SiteApp } from './site.ts'

type FastifyFactory = (settings: object) => FastifyLike
type FastifySettings = { logger?: unknown; loggerInstance?: unknown }

export class FastifyApp implements SiteApp, NodeHandler {
  readonly shape = 'fastify'
  readonly #app: FastifyLike
  readonly #routing: RequestListener

  constructor(app: FastifyLike) {
    this.#app = app
    this.#routing = routingOf(app)
  }

  get server() {
    return this.#app.server
  }

  handle(request: IncomingMessage, response: ServerResponse): unknown {
    return this.#routing(request, response)
  }

  open(site: Site, wire: Wire, frame: RequestFrame): Exchange {
    return openNodeExchange(site, this, wire, frame)
  }

  async close(): Promise<void> {
    await this.#app.close()
  }
}

/** `routing` came with Fastify 4; before it, the listener of its server is the same function. */
function routingOf(app: FastifyLike): RequestListener {
  if (app.routing) return app.routing
  return (request, response) => app.server.emit('request', request, response)
}

/** Registers a plugin in an instance of its own and waits until it is ready. */
export async function startPlugin(site: Site, found: Extract<FoundShape, { kind: 'plugin' }>): Promise<FastifyApp> {
  const { create, major } = await findFastify(site)
  const app = create({ ...found.settings })
  if (!hasLogger(found.settings)) logErrors(app, site)
  app.register(found.plugin, site.order.options)
  await app.ready()
  // Captured, so no port is opened; for `onListen` hooks, and for plugins that ask for the address.
  if (major >= 4) await app.listen?.({ port: 0, host: '127.0.0.1' })
  return new FastifyApp(app)
}

/** Waits until an instance that the site made is ready. */
export async function startInstance(app: FastifyLike): Promise<FastifyApp> {
  await app.ready()
  return new FastifyApp(app)
}

async function findFastify(site: Site): Promise<{ create: FastifyFactory; major: number }> {
  const require = createRequire(site.order.module)
  const own = resolveOrUndefined(require, 'fastify')
  if (own === undefined) return { create: (await import('fastify')).default as unknown as FastifyFactory, major: 5 }
  const exported = require(own) as FastifyFactory & { default?: FastifyFactory }
  return { create: exported.default ?? exported, major: majorVersion(require, own) }
}

function resolveOrUndefined(require: NodeJS.Require, name: string): string | undefined {
  try {
    return require.resolve(name)
  } catch {
    return undefined
  }
}

function majorVersion(require: NodeJS.Require, entry: string): number {
  try {
    const { version } = require(join(dirname(entry), 'package.json')) as { version: string }
    return Number.parseInt(version, 10)
  } catch (error) {
    throw new LoadProblem(`the site's own fastify (${entry}) has no readable package.json: ${inspect(error)}`)
  }
}

function hasLogger(settings: FastifySettings | undefined): boolean {
  return Boolean(settings?.logger ?? settings?.loggerInstance)
}

/**
 * Lets the silent logger of an instance without one speak of warnings and errors, so that a 500 of Fastify's own has a
 * reason in the site's log. A logger of one's own would do it too, but Fastify then watches every response for it.
 */
function logErrors(app: FastifyLike, site: Site): void {
  const write =
    (level: LogLevel) =>
    (...args: unknown[]) =>
      site.log.write(level, describe(args))
  Object.assign(app.log, { warn: write('warn'), error: write('err'), fatal: write('err') })
}

/** An error says more than the message that goes with it, which is its own. */
function describe(args: readonly unknown[]): string {
  const [first, second] = args
  if (typeof first === 'string') return first
  const error = first instanceof Error ? first : (first as { err?: unknown } | null)?.err
  if (error instanceof Error) return inspect(error)
  return typeof second === 'string' ? `${second} ${inspect(first)}` : inspect(first)
}
