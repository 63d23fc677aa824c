/**
 * A value of [options]: JSON where it is JSON, else a text.
 */
import type { IniKey, IniValue } from './ini.ts'

/** What a key of [options] is set to: one value, or a list where it is written `key[]`. */
export function readOption(entry: IniKey): unknown {
  const values = entry.values.map(readOptionValue)
  return entry.bracketed ? values : values[0]
}

function readOptionValue({ text, quoted }: IniValue): unknown {
  if (quoted || !/^(?:[-\d[{]|true$|false$|null$)/.test(text)) return text
  try {
    const value: unknown = JSON.parse(text, refuseProto)
    // 1.0, 1e3 and numbers of twenty digits would come out as something else than was written.
    return typeof value === 'number' && String(value) !== text ? text : value
  } catch {
    return text
  }
}

/** `{"__proto__": …}` is a plain key to JSON.parse, and changes an object's prototype once it is copied. */
function refuseProto(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new SyntaxError('__proto__ cannot be a key')
  return value
}
