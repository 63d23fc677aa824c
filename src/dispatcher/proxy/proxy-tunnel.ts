/**
 * An upgrade (WebSocket and the like) between a client and an upstream, on a connection of its own: until the upstream
 * takes it, its answer goes to the client as any other; from then on bytes go through both ways, with backpressure.
 *
 * undici cannot tell the answer of an upstream that does not want to upgrade, so this is `http.request`.
 * Invariant: when either side ends with an error the other is destroyed, so no half of a tunnel outlives the other.
 */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'
import { request } from '../../core/node-http.ts'
import { answerFraming } from '../answer-framing.ts'
import { asInvalid } from '../client-exchange.ts'
import type { AnswerHead } from '../front-response.ts'
import { writtenHead } from '../switch-head.ts'
import type { Upgrade, Visit } from '../visit.ts'
import { Attended } from './attendance.ts'
import type { BackendSite, Failure } from './backend-site.ts'
import { answerFailure, asCut, asUpstreamError, noteAnswered, noteFailed, PAUSED } from './backend-site.ts'
import { answerHeaders, forHost, forwardedClient, requestHeaders } from './forwarding.ts'
import type { Target } from './target.ts'
import { MAX_HEAD_BYTES } from './target.ts'
import type { Job } from './upstream-group.ts'

/** How long one side may take for what the other has sent before it left, in ms. */
const LAST_BYTES_MS = 5_000

export class ProxyTunnel implements Job {
  readonly isTunnel = true
  readonly tried = new Set<Target>()
  readonly #visit: Visit
  readonly #client: Duplex
  readonly #head: Buffer
  readonly #site: BackendSite
  #target: Target | undefined
  readonly #attended = new Attended()
  #request: ClientRequest | undefined
  #late: NodeJS.Timeout | undefined
  #isDone = false

  constructor(visit: Visit, upgrade: Upgrade, site: BackendSite) {
    this.#visit = visit
    this.#client = upgrade.socket
    this.#head = upgrade.head
    this.#site = site
    this.#client.on('close', () => this.#clientGone())
    // The client may leave while the upstream makes up its mind; there is nobody to read its end.
    this.#client.on('end', () => this.#request !== undefined && !this.#isDone && this.#client.destroy())
  }

  run(target: Target): void {
    const { asked, req } = this.#visit
    const { limits } = this.#site.config
    this.#target = target
    this.#attended.ask(target.attendance)
    const protocol = req.headers.upgrade ?? ''
    const headers = [
      ...forHost(requestHeaders(this.#visit, forwardedClient(this.#visit)), target.host),
      'Connection',
      'Upgrade',
      'Upgrade',
      protocol,
    ]
    let isConnected = false
    const failed = (error: Error): void => this.#attemptFailed({ error, wasSent: isConnected })
    try {
      const createConnection = (): Socket => target.connect()
      const head = { method: 'GET', path: asked.target, headers }
      const outgoing = request({ ...head, createConnection, maxHeaderSize: MAX_HEAD_BYTES })
      this.#request = outgoing
      const giveUp = (): void =>
        void outgoing.destroy(Object.assign(new Error('it took too long'), { code: 'ETIMEDOUT' }))
      this.#late = setTimeout(giveUp, this.#site.proxy.connectTimeoutMs)
      outgoing.on('socket', (socket) =>
        socket.once(target.tls === undefined ? 'connect' : 'secureConnect', () => {
          isConnected = true
          clearTimeout(this.#late)
          this.#late = setTimeout(giveUp, limits.timeoutMs)
        }),
      )
      outgoing.on('error', failed)
      outgoing.on('response', (answer) => this.#answer(answer))
      outgoing.on('upgrade', (answer, socket, first) => this.#open(answer, socket, first))
      outgoing.end()
    } catch (error) {
      // Node sends no such target, or no such header.
      this.#release()
      this.fail(Object.assign(asInvalid(error), { statusCode: 400 }))
    }
  }

  fail(error: Error): void {
    if (this.#isDone) return
    this.#isDone = true
    answerFailure(this.#site, this.#visit, error)
  }

  #attemptFailed(failure: Failure): void {
    // Of an answer that has begun its own end is told: it may be whole, whatever came behind it.
    if (this.#visit.res.headersSent) return
    clearTimeout(this.#late)
    const target = this.#target
    this.#release()
    if (this.#isDone || target === undefined) return
    noteFailed(this.#site, target, failure)
    this.tried.add(target)
    if (!failure.wasSent && this.#site.group.hasOther(this)) return this.#site.group.take(this)
    this.fail(asUpstreamError(this.#site.config.name, target, failure))
  }

  /** The upstream does not want to, and says why. */
  #answer(answer: IncomingMessage): void {
    clearTimeout(this.#late)
    const { req, res } = this.#visit
    const target = this.#target
    if (target !== undefined) this.#answered(target)
    try {
      const { statusCode: status = 502, statusMessage: reason = '' } = answer
      const { headers } = answerFraming(req.method, { status, reason, headers: answerHeaders(answer.rawHeaders) })
      res.writeHead(status, reason, headers)
    } catch (error) {
      answer.destroy()
      this.#release()
      return this.fail(asInvalid(error))
    }
    const paused = (): void => void answer.destroy(Object.assign(new Error('it paused'), { code: PAUSED }))
    answer.setTimeout(this.#site.proxy.readTimeoutMs, paused)
    // Before the pipeline hears of it, which ends the client: then it would look as if that had left.
    if (target !== undefined) answer.once('error', (error) => this.fail(asCut(target, error)))
    pipeline(answer, res, (error) => {
      this.#release()
      if (error == null) this.#isDone = true
    })
  }

  #open(answer: IncomingMessage, upstream: Socket, first: Buffer): void {
    clearTimeout(this.#late)
    this.#isDone = true
    const client = this.#client
    upstream.on('error', () => client.destroy())
    upstream.on('close', () => this.#release())
    if (client.destroyed) {
      upstream.destroy()
      return
    }
    const target = this.#target
    if (target !== undefined) this.#answered(target)
    const { res } = this.#visit
    res.becomeTunnel()
    const head = switchHead(answer)
    client.write(writtenHead(res.upgradeHead(head) ?? head), 'latin1')
    if (first.byteLength > 0) upstream.unshift(first)
    upstream.on('data', (part: Buffer) => {
      res.bodyBytes += part.byteLength
      target?.attendance?.heard()
    })
    if (this.#head.byteLength > 0) upstream.write(this.#head)
    join(client, upstream, this.#site.proxy.tunnelIdleMs)
  }

  #answered(target: Target): void {
    target.attendance?.heard()
    this.#attended.settle()
    noteAnswered(this.#site, target)
  }

  #clientGone(): void {
    this.#site.group.cancel(this)
    if (this.#isDone) return
    this.#isDone = true
    clearTimeout(this.#late)
    this.#request?.destroy()
  }

  #release(): void {
    const target = this.#target
    this.#target = undefined
    this.#attended.settle()
    if (target !== undefined) this.#site.group.release(this, target)
  }
}

function switchHead(answer: IncomingMessage): AnswerHead {
  const protocol = ['Connection', 'Upgrade', 'Upgrade', answer.headers.upgrade ?? '']
  return { status: 101, reason: answer.statusMessage, headers: [...protocol, ...answerHeaders(answer.rawHeaders)] }
}

/** Joins both ends for good. @param idleMs after which they are destroyed when nothing moves, which both see at `upstream` */
function join(client: Duplex, upstream: Socket, idleMs: number): void {
  client.pipe(upstream)
  upstream.pipe(client)
  upstream.setTimeout(idleMs, () => upstream.destroy())
  client.on('error', () => upstream.destroy())
  client.on('close', () => upstream.destroySoon())
  upstream.on('close', () => {
    if (!upstream.readableEnded) {
      client.destroy()
      return
    }
    // Its last bytes may still be on their way.
    const late = setTimeout(() => client.destroy(), LAST_BYTES_MS).unref()
    client.once('close', () => clearTimeout(late))
  })
}
