/**
 * Fields of a message as Node hands them over, in a row: name, value, name, value, … Pure.
 *
 * Names are given in lower case here, and compared without regard to their case (RFC 9110 §5.1).
 */

const NO_NAMES: ReadonlySet<string> = new Set()

/** All values of a field as one list; undefined where it is not there. */
export function fieldOf(headers: readonly string[], name: string): string | undefined {
  let found: string | undefined
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const one = headers[at] as string
    if (one.length !== name.length || one.toLowerCase() !== name) continue
    found = found === undefined ? (headers[at + 1] as string) : `${found}, ${headers[at + 1]}`
  }
  return found
}

/** The last value of a field; undefined where it is not there. */
export function lastFieldOf(headers: readonly string[], name: string): string | undefined {
  for (let at = headers.length - 2; at >= 0; at -= 2) {
    const one = headers[at] as string
    if (one.length === name.length && one.toLowerCase() === name) return headers[at + 1] as string
  }
  return undefined
}

/** All fields but those that are left out, as they were. @param isLeftOut is given each name in lower case */
export function withoutFields(headers: readonly string[], isLeftOut: (name: string) => boolean): string[] {
  const kept: string[] = []
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string
    if (!isLeftOut(name.toLowerCase())) kept.push(name, headers[at + 1] as string)
  }
  return kept
}

/** The names, in lower case. */
export function fieldNames(headers: readonly string[]): Set<string> {
  return new Set(headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()))
}

const ENTITY_TAG = /(?:W\/)?"[^"]*"/g

/** The entity tags of a list (RFC 9110 §13.1.1), as they are written; a tag may have commas in it. */
export function entityTags(list: string): string[] {
  return list.match(ENTITY_TAG) ?? []
}

/** Fields that `Connection` says are for this connection alone (RFC 9110 §7.6.1), in lower case; most often none. */
export function namedByConnection(headers: readonly string[]): ReadonlySet<string> {
  let names: Set<string> | undefined
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string
    if (name.length !== 'connection'.length || name.toLowerCase() !== 'connection') continue
    const value = (headers[at + 1] as string).toLowerCase()
    if (value === 'keep-alive' || value === 'close') continue
    names ??= new Set()
    for (const one of value.split(',')) names.add(one.trim())
  }
  // Nobody may have the length or the host of a message taken away.
  names?.delete('content-length')
  names?.delete('host')
  return names ?? NO_NAMES
}
