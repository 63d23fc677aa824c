/**
 * Which methods may be run again: both ends of a thread's socket go by these.
 */

/** RFC 9110 §9.2.1: may be repeated without the client having asked for it. */
export const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * RFC 9110 §9.2.2: idempotent, so that running them twice is as good as once. The thread tells of their start after it
 * happened, and with other things; of all others before.
 */
export const REPEATABLE_METHODS: ReadonlySet<string> = new Set([...SAFE_METHODS, 'PUT', 'DELETE'])
