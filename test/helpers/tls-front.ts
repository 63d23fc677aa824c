/**
 * A front with listeners in clear text and for TLS, and sites that answer by themselves: everything that stands before the
 * pool, without one.
 */
import type { TestContext } from 'node:test'
import { readDomains } from '../../src/config/domain-list.ts'
import type { FrontSettings } from '../../src/config/server-front.ts'
import { frontSettings } from '../../src/config/server-front.ts'
import type { ListenAddress } from '../../src/config/server-schema.ts'
import { serverSchema } from '../../src/config/server-schema.ts'
import type { SiteConfig } from '../../src/config/site-schema.ts'
import type { KeyPair } from '../../src/core/key-pair.ts'
import type { Log } from '../../src/core/log.ts'
import { Certificates } from '../../src/dispatcher/certificates.ts'
import { Front } from '../../src/dispatcher/front.ts'
import type { RequestContext } from '../../src/dispatcher/handle-request.ts'
import { RequestHandler } from '../../src/dispatcher/handle-request.ts'
import { buildHostTable } from '../../src/dispatcher/host-table.ts'
import { httpsOnly } from '../../src/dispatcher/https-only.ts'
import { InheritedSockets } from '../../src/dispatcher/inherited-sockets.ts'
import type { Site } from '../../src/dispatcher/site.ts'
import type { Answerer } from '../../src/dispatcher/visit.ts'
import { through } from '../../src/dispatcher/visit.ts'

export interface FrontSite {
  domains: string
  certificate?: KeyPair
  /** `https_only`. */
  only?: boolean
  /** `send_timeout`; a minute when left out. */
  sendTimeoutMs?: number
  /** Says the site's name when left out. */
  answer?: Answerer
}

export interface TestFront {
  front: Front
  certificates: Certificates
  port: number
  securePort: number
  /** Puts other sites in the place of those that are there. */
  use(sites: Record<string, FrontSite>, defaultSite?: string): void
}

/** As vhostel.ini has it where it says nothing. */
const FRONT = frontSettings(serverSchema.parse({}).server)

/** Where it differs from the usual one. */
export interface FrontChanges {
  settings?: Partial<FrontSettings>
  /** For TLS. */
  secure?: ListenAddress
  log?: Log
}

/** Starts it on free ports; closed with the test. */
export async function startFront(
  t: TestContext,
  sites: Record<string, FrontSite>,
  defaultSite?: string,
  changes: FrontChanges = {},
): Promise<TestFront> {
  const { log } = changes
  const context: RequestContext = { hosts: buildHostTable<Site>([]), ...(log === undefined ? {} : { log }) }
  const certificates = new Certificates(context)
  const secure = { port: undefined as number | undefined }
  const use = (wanted: Record<string, FrontSite>, name?: string): void => {
    const claims = Object.entries(wanted).map(([name, one]) => {
      const site = siteOf(name, one, certificates, secure)
      return { name, site, patterns: site.config.domains }
    })
    context.hosts = buildHostTable(claims, name)
  }
  use(sites, defaultSite)
  const address = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const
  const handler = new RequestHandler(context, certificates)
  const addresses = { clear: [address], secure: { addresses: [changes.secure ?? address], certificates } }
  const settings = { ...FRONT, ...changes.settings }
  const front = await Front.start({ ...addresses, inherited: new InheritedSockets([]) }, handler, settings)
  t.after(() => front.close(0))
  secure.port = front.securePorts[0]
  return { front, certificates, port: front.ports[0] ?? 0, securePort: front.securePorts[0] ?? 0, use }
}

function siteOf(name: string, one: FrontSite, certificates: Certificates, secure: { port: number | undefined }): Site {
  const { patterns } = readDomains([{ text: one.domains, quoted: false, line: 1 }])
  const tls = { httpsOnly: one.only === true, hstsSeconds: 100 }
  // What is before the pool looks at no other setting.
  const limits = { bodyTimeoutMs: 60_000, sendTimeoutMs: one.sendTimeoutMs ?? 60_000 }
  const config = { name, domains: patterns, certificate: one.certificate, tls, limits } as unknown as SiteConfig
  const answer = one.answer ?? (({ res }) => void res.end(name))
  const steps = tls.httpsOnly ? [httpsOnly(config, certificates, secure)] : []
  const service = { answer: through(steps, answer), cache: undefined, backend: undefined, close: () => {} }
  const state = { pooled: undefined, reload: undefined, iniProblems: [], codeFault: undefined, requests: 0 }
  return { name, config, wanted: config, turn: Promise.resolve(), service, ...state }
}
