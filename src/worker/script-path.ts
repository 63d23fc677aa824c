/**
 * Where a script is, by the name that V8 has for it: a path, or the URL of a file. A site may give its scripts any name
 * (`//# sourceURL=file:///%`).
 */
import { fileURLToPath } from 'node:url'

/** The path of a file's URL; what is none, and what is no good one, stays as it is. */
export function scriptPath(script: string): string {
  try {
    return script.startsWith('file:') ? fileURLToPath(script) : script
  } catch {
    return script
  }
}
