/**
 * Hears an upstream out that answers before it has read a whole body, and closes: what is sent to it after that fails, and Node
 * would give up the connection at once, with the answer that has come over it and was not read yet.
 *
 * Here too, because this hears of every write: what was lent for it is given back.
 *
 * Limit: `HEAR_MS`. Invariant: that sending failed is told, unless the connection ends before; then that is.
 */
import type { Socket } from 'node:net'
import { giveBack } from './lent-parts.ts'

/** Where it has not closed but only stopped reading, in ms. */
const HEAR_MS = 2_000
/** What sending says once the other side has closed. */
const CLOSED = new Set(['EPIPE', 'ECONNRESET'])

type Sent = (error?: Error | null) => void

const heard = new WeakMap<Socket, { isOn: boolean }>()

/** @param isOn whether what goes over the connection now is a request whose body comes in parts */
export function hearOut(socket: Socket, isOn: boolean): void {
  const known = heard.get(socket)
  if (known !== undefined) known.isOn = isOn
  else if (isOn) heard.set(socket, holdFailures(socket))
}

function holdFailures(socket: Socket): { isOn: boolean } {
  const hearing = { isOn: true }
  const patient = (sent: Sent, parts: readonly unknown[]): Sent => {
    return (error) => {
      if (error == null) for (const part of parts) giveBack(part)
      const { code = '' } = (error ?? {}) as NodeJS.ErrnoException
      if (!hearing.isOn || !CLOSED.has(code)) return sent(error)
      const late = setTimeout(sent, HEAR_MS, error)
      socket.once('close', () => clearTimeout(late))
    }
  }
  const write = socket._write.bind(socket)
  const writeAll = socket._writev?.bind(socket)
  socket._write = (part, encoding, sent) => write(part, encoding, patient(sent, [part]))
  if (writeAll !== undefined) socket._writev = (parts, sent) => writeAll(parts, patient(sent, parts.map(chunkOf)))
  return hearing
}

function chunkOf({ chunk }: { chunk: unknown }): unknown {
  return chunk
}
