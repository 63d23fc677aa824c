/**
 * Where a function was written: asked of the thread's own inspector, which alone knows. Some 30 to 130 ms in a thread
 * with many modules, so only for what is worth that.
 */
import { Session } from 'node:inspector'

/** @returns the URL or path of the file with the function's code; undefined for what is no function of a file */
export function placeOfFunction(value: unknown): string | undefined {
  if (typeof value !== 'function') return undefined
  const session = new Session()
  const files = new Map<string, string>()
  try {
    session.connect()
    session.on('Debugger.scriptParsed', ({ params }) => files.set(params.scriptId, params.url))
    session.post('Debugger.enable')
    const scriptId = scriptOf(session, value)
    return scriptId === undefined ? undefined : files.get(scriptId)
  } catch {
    // A Node without an inspector.
    return undefined
  } finally {
    session.disconnect()
  }
}

/** The inspector is handed a value by its name. */
const HANDED = Symbol.for('vhostel.handedFunction')

/** A session in its own thread calls back before `post` returns. */
function scriptOf(session: Session, value: unknown): string | undefined {
  let scriptId: string | undefined
  Reflect.set(globalThis, HANDED, value)
  session.post(
    'Runtime.evaluate',
    { expression: "globalThis[Symbol.for('vhostel.handedFunction')]" },
    (_, evaluated) => {
      const { objectId } = evaluated.result
      if (objectId === undefined) return
      session.post('Runtime.getProperties', { objectId, ownProperties: false }, (_, { internalProperties }) => {
        const location = internalProperties?.find(({ name }) => name === '[[FunctionLocation]]')
        scriptId = (location?.value?.value as { scriptId?: string } | undefined)?.scriptId
      })
    },
  )
  Reflect.deleteProperty(globalThis, HANDED)
  return scriptId
}
