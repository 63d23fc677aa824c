/**
 * Finds the addresses of upstreams that are named, as Node itself does (getaddrinfo(3)), for connections that are about to be opened.
 *
 * A name server that does not answer keeps getaddrinfo for 5 s and more, and libuv lets it have two of Node's threads: two names that
 * nobody answers for would keep all others waiting, `localhost` too. So what was found before is used where finding it again takes
 * longer than `PATIENCE_MS`, or the system says that it cannot tell now.
 *
 * Limits: one look for a name at a time, for all who wait for it; `MAX_NAMES` are remembered. Invariant: a name that is said to be
 * gone is gone.
 */
import type { LookupAddress } from 'node:dns'
import { ADDRCONFIG } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** A name server at hand answers within some ms, one far away within 100. */
const PATIENCE_MS = 300
const MAX_NAMES = 10_000

interface Name {
  /** What was found last. */
  found: LookupAddress[] | undefined
  /** While it is being looked for. */
  look: Promise<LookupAddress[]> | undefined
}

const names = new Map<string, Name>()

/** The `lookup` of a connection to an upstream. */
export const lookupUpstream: LookupFunction = (host, options, done) => {
  addressesOf(host).then(
    (found) => {
      const [first] = found
      if (options.all === true) done(null, found)
      else done(null, first?.address ?? '', first?.family)
    },
    (error: NodeJS.ErrnoException) => done(error, []),
  )
}

/** What needs no name server is found while nothing keeps it, so that it is known when something does. Other names wait for a visitor. */
export function lookAhead(host: string): void {
  if (host === 'localhost') addressesOf(host).catch(() => {})
}

/** @throws what the system says, such as ENOTFOUND */
async function addressesOf(host: string): Promise<LookupAddress[]> {
  const name = nameOf(host)
  name.look ??= look(host, name)
  const { found } = name
  if (found === undefined) return name.look
  const late = new AbortController()
  const patience = delay(PATIENCE_MS, found, { signal: late.signal, ref: false }).catch(() => found)
  try {
    return await Promise.race([name.look, patience])
  } catch (error) {
    if (isGone(error)) throw error
    return found
  } finally {
    late.abort()
  }
}

function nameOf(host: string): Name {
  const known = names.get(host)
  if (known !== undefined) return known
  if (names.size >= MAX_NAMES) names.clear()
  const name: Name = { found: undefined, look: undefined }
  names.set(host, name)
  return name
}

async function look(host: string, name: Name): Promise<LookupAddress[]> {
  try {
    // As Node asks for its own connections.
    name.found = await lookup(host, { all: true, hints: ADDRCONFIG })
    return name.found
  } catch (error) {
    if (isGone(error)) name.found = undefined
    throw error
  } finally {
    name.look = undefined
  }
}

/** Somebody who knows says that there is no such name; else nobody could tell. */
function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOTFOUND'
}
