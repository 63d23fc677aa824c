/**
 * `http.globalAgent` and `https.globalAgent` as each site of a thread has them: what a site changes there, or puts in their place
 * (certificates that it trusts or shows, a proxy, how many sockets), is for its own requests, and so are the connections.
 *
 * Node asks for them at each request. Limit: connections of `fetch` are those of all sites of the thread. Invariant: a new one
 * has the options that Node has given its own.
 */
import http from 'node:http'
import https from 'node:https'
import { currentSite } from './request-context.ts'
import type { Site } from './site.ts'
import { lookingUp } from './site-process.ts'

/** Where Node's HTTP client looks for its agent; `http.globalAgent` is an accessor to it. */
const CLIENT_AGENT = '_http_agent'

/** Once a thread, before any site is loaded; `syncBuiltinESMExports` afterwards. */
export function installSiteAgents(): void {
  // The names are public, their types are not.
  const client = process.getBuiltinModule(CLIENT_AGENT) as { globalAgent: http.Agent } | undefined
  if (client !== undefined) ownAgent(client, http.Agent)
  ownAgent(https, https.Agent)
}

function ownAgent<A extends http.Agent>(owner: { globalAgent: A }, Agent: new (options: http.AgentOptions) => A): void {
  const real = owner.globalAgent as A & { options: http.AgentOptions }
  const own = new WeakMap<Site, A>()
  const agentOf = (site: Site): A => {
    const agent = own.get(site) ?? new Agent(real.options)
    own.set(site, agent)
    return agent
  }
  const lookUp = (): A => {
    const site = currentSite()
    return site === undefined ? real : agentOf(site)
  }
  // What `import { globalAgent }` gives, which is resolved once for all.
  const shared = lookingUp(real, lookUp)
  Object.defineProperty(owner, 'globalAgent', {
    configurable: true,
    enumerable: true,
    get: () => {
      const site = currentSite()
      return site === undefined ? shared : agentOf(site)
    },
    set: (agent: A) => {
      const site = currentSite()
      if (site !== undefined) own.set(site, agent)
    },
  })
}
