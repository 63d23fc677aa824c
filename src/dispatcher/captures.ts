/**
 * What the groups of a host's regular expression caught, as header fields that a site is told it by. Pure.
 *
 * Invariant: a site that has captures gets no such field from a client.
 */
import type { Visit } from './visit.ts'

const PREFIX = 'x-vhostel-'

/** Whether a field has a name of a capture. @param name lower case */
export function isCaptureField(name: string): boolean {
  return name.startsWith(PREFIX)
}

/** The fields for a visit: name, value, name, value, …; undefined where its host's rule is no regular expression. */
export function captureFields({ pattern, captures }: Visit['match']): string[] | undefined {
  if (pattern?.kind !== 'regex') return undefined
  return Object.entries(captures ?? {}).flatMap(([name, value]) => [`X-Vhostel-${name}`, value])
}
