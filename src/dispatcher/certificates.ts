/**
 * Which certificate a TLS connection is answered with: by the name that the client asks for (SNI), the host table in force,
 * and the certificate of the site that the table names. Beside those, what the ACME challenges want to be answered.
 *
 * A certificate is taken up by the first handshake that wants it, so a thousand sites cost nothing at the start. One that
 * is put in the place of another serves from the next handshake on; connections that are there keep what they have.
 *
 * Invariant: a site is answered over TLS only while it has a certificate, its own file's before one that was issued to it.
 */
import { X509Certificate } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { createSecureContext } from 'node:tls'
import { normaliseHost } from '../config/domains.ts'
import { isNamed } from '../config/load-certificate.ts'
import type { SiteConfig } from '../config/site-schema.ts'
import type { KeyPair } from '../core/key-pair.ts'
import { keyPairFault } from '../core/key-pair.ts'
import type { RequestContext } from './handle-request.ts'
import { CONTEXT_OPTIONS } from './tls-profile.ts'

/** What of a site its certificate depends on. */
export interface CertifiedSite {
  readonly name: string
  readonly config: SiteConfig
}

/** The path below which a server of ACME asks for HTTP-01 (RFC 8555 §8.3). */
export const HTTP_CHALLENGE_PATH = '/.well-known/acme-challenge/'

/** What is made of a pair when it is first used, and goes when the pair goes. */
interface Prepared {
  context: SecureContext | undefined
  certificate: X509Certificate | undefined
}

export class Certificates {
  /**
   * What plain requests for `/.well-known/acme-challenge/TOKEN` are answered with, by token, before anything else looks at
   * them (HTTP-01). Whoever adds one takes it away again.
   */
  readonly httpChallenges = new Map<string, string>()
  readonly #context: RequestContext
  readonly #issued = new Map<string, KeyPair>()
  /** By server name, in lower case. */
  readonly #challenges = new Map<string, KeyPair>()
  readonly #prepared = new WeakMap<KeyPair, Prepared>()

  /** @param context the host table in force is looked up in it for each handshake */
  constructor(context: RequestContext) {
    this.#context = context
  }

  /**
   * Gives a site a certificate that was issued to it; in use from the next handshake on. One in the site's file goes before
   * it. Forgotten only by `remove`.
   *
   * @param site its name
   * @throws Error that says what is wrong with the pair; the one before stays
   */
  set(site: string, pair: KeyPair): void {
    checkPair(pair)
    this.#issued.set(site, pair)
  }

  /** Takes an issued certificate away; connections that have it are not ended. */
  remove(site: string): void {
    this.#issued.delete(site)
  }

  /** The certificate that a site is answered with; undefined where it has none, so that it is not answered over TLS. */
  of(site: CertifiedSite): KeyPair | undefined {
    return site.config.certificate ?? this.#issued.get(site.name)
  }

  /**
   * What a handshake is done with.
   *
   * @param serverName as the client sent it (RFC 6066 §3), or '' where it sent none: that is for the default site
   * @returns undefined where the handshake is to be refused
   */
  contextFor(serverName: string): SecureContext | undefined {
    return this.#contextOf(this.pairFor(serverName))
  }

  /** As `contextFor`, without making anything of it. */
  pairFor(serverName: string): KeyPair | undefined {
    const site = this.#siteOf(serverName)
    return site === undefined ? undefined : this.of(site)
  }

  /**
   * Whether a request may be answered on a connection: its site has a certificate, and the connection was made for that
   * site, or its certificate names the host as well. If not, the answer is 421 (RFC 9110 §7.4).
   *
   * @param serverName as in `contextFor`
   * @param host of the request, normalised
   * @param site that the host belongs to
   */
  covers(serverName: string, host: string, site: CertifiedSite): boolean {
    if (this.of(site) === undefined) return false
    const reached = this.#siteOf(serverName)
    if (reached === undefined || reached.name === site.name) return reached !== undefined
    const pair = this.of(reached)
    if (pair === undefined) return false
    const prepared = this.#prepare(pair)
    prepared.certificate ??= new X509Certificate(pair.cert)
    return isNamed(prepared.certificate, host)
  }

  /**
   * From now on handshakes for this name that offer only the protocol `acme-tls/1` are answered with this certificate
   * (TLS-ALPN-01, RFC 8737 §3); all others as before.
   *
   * @param name a host, or the name in `in-addr.arpa` or `ip6.arpa` that stands for an address (RFC 8738 §6)
   * @throws Error that says what is wrong with the pair
   */
  setChallenge(name: string, pair: KeyPair): void {
    checkPair(pair)
    this.#challenges.set(name.toLowerCase(), pair)
  }

  removeChallenge(name: string): void {
    this.#challenges.delete(name.toLowerCase())
  }

  /** Whether there is any, so that new connections have to be looked at. */
  get hasChallenges(): boolean {
    return this.#challenges.size > 0
  }

  /** What a handshake for `acme-tls/1` is done with; undefined where that name has no challenge. */
  challengeContextFor(serverName: string): SecureContext | undefined {
    return this.#contextOf(this.#challenges.get(serverName.toLowerCase()))
  }

  #contextOf(pair: KeyPair | undefined): SecureContext | undefined {
    if (pair === undefined) return undefined
    const prepared = this.#prepare(pair)
    prepared.context ??= createSecureContext({ ...CONTEXT_OPTIONS, cert: pair.cert, key: pair.key })
    return prepared.context
  }

  #siteOf(serverName: string): CertifiedSite | undefined {
    const host = serverName === '' ? '' : normaliseHost(serverName)
    return host === undefined ? undefined : this.#context.hosts.lookup(host)?.site
  }

  #prepare(pair: KeyPair): Prepared {
    let prepared = this.#prepared.get(pair)
    if (prepared === undefined) {
      prepared = { context: undefined, certificate: undefined }
      this.#prepared.set(pair, prepared)
    }
    return prepared
  }
}

/** @throws Error that says what is wrong with the pair */
function checkPair(pair: KeyPair): void {
  const fault = keyPairFault(pair)
  if (fault !== undefined) throw new Error(`the ${fault.half} ${fault.reason}`)
}
