/**
 * Hostile connections of HTTP/2, and a player for them: frames in test/fixtures/hostile-h2/, each file's name saying what is
 * expected: `NAME.ANSWERS.CONNECTION[.KIND-ANSWERS].h2`.
 *
 * - `ANSWERS`: what becomes of the streams that the server says something about, in the order of their numbers, joined by `-`:
 *   `ok` for an answer of the site, a status, `resetN` with its error code, or `none` where it says nothing of any.
 * - `CONNECTION`: `open` where it has to be good for one more stream, `goawayN` where the server has to end it with that code.
 *
 * A file has a frame a line, `TYPE STREAM [FLAG…]`, with what is in it on the lines behind, which are indented:
 *
 * - `name value`: a header, as a literal; `get PATH` and `post PATH`: the four pseudo-headers of a good request
 * - `text …`, `hex …`: bytes; `times N` in front of either or of a header: so often, `%` in it being the number
 * - `length N`: what the frame says of its length
 *
 * `TYPE` may be a number; `RAW` is for bytes in no frame. In names, values and texts `\r`, `\n`, `\t`, `\\` and `\xHH` stand for one
 * byte, and `\s` for a blank. `#` begins a remark. The client says hello before, unless there is a line `no hello`.
 *
 * Limits: `DEADLINE_MS` for each wait; what it understands of an answer is its status and its body.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import type { Frame } from './frames.ts'
import { block, FLAG, FrameClient, frame, PREFACE, pseudo, statusOf, TYPE } from './frames.ts'
import { CASE_HOST } from './hostile.ts'
import type { HostileSite } from './hostile-sites.ts'
import { LETTERS } from './hostile-sites.ts'

const FOLDER = join(import.meta.dirname, '../fixtures/hostile-h2')
const FLAGS: Record<string, number> = { end_stream: 1, ack: 1, end_headers: 4, padded: 8, priority: 0x20 }
/** So that each status stands in its block as it is, whatever was answered before. */
const NO_TABLE = Buffer.from([0, 1, 0, 0, 0, 0])
/** Above all streams of the files. */
const LAST_STREAM = 1001

export interface HostileFrames {
  name: string
  text: string
  answers: string[]
  /** By kind of site. */
  others: Map<string, string[]>
  /** `open`, or `goaway` with its code. */
  connection: string
}

const NAME =
  /^(.+?)\.((?:\d{3}|ok|reset\d+)(?:-(?:\d{3}|ok|reset\d+))*|none)\.(open|goaway\d+)((?:\.(?:module|static|proxy|command)(?:-(?:\d{3}|ok|reset\d+))+)*)\.h2$/

/** All cases, by name. */
export function hostileFrames(): HostileFrames[] {
  return readdirSync(FOLDER).map((file) => {
    const parts = NAME.exec(file)
    assert.ok(parts, `${file} does not say what is expected`)
    const [, name = '', answers = '', connection = '', others = ''] = parts
    const byKind = others.split('.').map((other): [string, string[]] => {
      const [kind = '', ...told] = other.split('-')
      return [kind, told]
    })
    const text = readFileSync(join(FOLDER, file), 'utf8')
    return { name, text, answers: answers === 'none' ? [] : answers.split('-'), others: new Map(byKind), connection }
  })
}

/**
 * Plays one case on a connection of its own, and fails where anything is not as expected.
 *
 * @param cut after how many bytes the client pauses; 0 for nowhere
 * @returns how many answers the site itself gave
 */
export async function playFrames(
  hostile: HostileFrames,
  { kind, host, letter }: HostileSite,
  socket: TLSSocket,
  cut: (bytes: number) => number,
): Promise<number> {
  const client = new FrameClient(socket)
  const bytes = framesOf(hostile.text.replaceAll(CASE_HOST, host), host)
  const at = cut(bytes.length)
  const due = (hostile.others.get(kind) ?? hostile.answers).map((one) =>
    one === '405' && kind === 'static' ? 'ok' : one,
  )
  const name = `${hostile.name} to ${host} (${kind}), cut at ${at}`
  try {
    if (at > 0) await new Promise((resolve) => socket.write(bytes.subarray(0, at), resolve))
    client.write(bytes.subarray(at))
    let code: number | undefined
    if (hostile.connection === 'open') {
      await client.until(`${due.length} answers: ${name}`, () => outcomes(client.frames, letter).length >= due.length)
      client.write(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, LAST_STREAM, block(pseudo(host, '/good'))))
      await client.until(`one more answer: ${name}`, () => isOver(client.frames, LAST_STREAM))
      due.push('ok')
    } else code = await client.ended()
    const found = outcomes(client.frames, letter)
    assert.deepEqual(found, due, `${name}: ${client.shown()}`)
    // What the client still sends may cost it the last word of the server (TCP).
    if (code !== undefined) assert.equal(`goaway${code}`, hostile.connection)
    return found.filter((one) => one === 'ok').length
  } catch (error) {
    throw new Error(`${name}: ${error}`)
  } finally {
    socket.destroy()
  }
}

// ---- what comes back -------------------------------------------------------------------------------------------------

function isOver(frames: readonly Frame[], stream: number): boolean {
  return frames.some(
    (one) =>
      one.stream === stream &&
      (one.type === TYPE.reset ||
        ((one.type === TYPE.headers || one.type === TYPE.data) && (one.flags & FLAG.endStream) !== 0)),
  )
}

/** What became of the streams that are over, in the order of their numbers. */
function outcomes(frames: readonly Frame[], letter: string): string[] {
  const streams = new Set(
    frames.filter(({ stream, type }) => stream > 0 && type !== TYPE.window).map((one) => one.stream),
  )
  return [...streams]
    .sort((a, b) => a - b)
    .filter((stream) => isOver(frames, stream))
    .map((stream) =>
      outcome(
        frames.filter((one) => one.stream === stream),
        letter,
      ),
    )
}

function outcome(frames: readonly Frame[], letter: string): string {
  const body = Buffer.concat(frames.filter(({ type }) => type === TYPE.data).map(({ payload }) => payload)).toString()
  assert.doesNotMatch(body, new RegExp(`site (?!${letter})[${LETTERS}]\\b`), 'the answer of another site')
  const isWhole = frames.some(({ type, flags }) => type <= TYPE.headers && (flags & FLAG.endStream) !== 0)
  const reset = frames.find(({ type }) => type === TYPE.reset)
  if (!isWhole) return `reset${reset?.payload.readUInt32BE(0)}`
  const head = frames.findLast(({ type }) => type === TYPE.headers)
  const status = String(head === undefined ? '' : statusOf(head.payload))
  // Files have no other methods.
  const isOwn = (status === '200' && (body === `site ${letter}` || body === '')) || (status === '405' && letter === 's')
  return isOwn ? 'ok' : status
}

// ---- what is sent ----------------------------------------------------------------------------------------------------

/** The bytes that a file stands for. @param host of its good requests */
function framesOf(text: string, host: string): Buffer {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const says = lines[0] === 'no hello' ? [] : [PREFACE, frame(TYPE.settings, 0, 0, NO_TABLE)]
  if (lines[0] === 'no hello') lines.shift()
  const starts = lines.flatMap((line, at) => (line.startsWith(' ') ? [] : [at]))
  const frames = starts.map((start, index) =>
    frameOf(lines[start] ?? '', lines.slice(start + 1, starts[index + 1]), host),
  )
  return Buffer.concat([...says, ...frames])
}

function frameOf(line: string, inside: readonly string[], host: string): Buffer {
  const [type = '', stream, ...flags] = line.trim().split(/\s+/)
  const lengths = inside.filter((one) => one.startsWith('  length ')).map((one) => Number(one.trim().split(' ')[1]))
  const payload = Buffer.concat(
    inside.filter((one) => !one.startsWith('  length ')).map((one) => part(one.slice(2), host)),
  )
  if (type === 'RAW') return payload
  const number = (TYPE as Record<string, number>)[type.toLowerCase()] ?? Number(type)
  assert.ok(Number.isInteger(number) && stream !== undefined, `no frame: ${line}`)
  const bits = flags.map((flag) => FLAGS[flag] ?? Number(flag)).reduce((sum, flag) => sum | flag, 0)
  const bytes = frame(number, bits, Number(stream), payload)
  if (lengths[0] !== undefined) bytes.writeUIntBE(lengths[0], 0, 3)
  return bytes
}

function part(line: string, host: string): Buffer {
  const [, times, one = ''] = /^(?:times (\d+) )?(.*)$/.exec(line) ?? []
  if (times === undefined) return single(line, host)
  return Buffer.concat(Array.from({ length: Number(times) }, (_, at) => single(one.replaceAll('%', String(at)), host)))
}

function single(line: string, host: string): Buffer {
  const at = line.indexOf(' ')
  const word = at === -1 ? line : line.slice(0, at)
  const rest = at === -1 ? '' : line.slice(at + 1)
  switch (word) {
    case 'hex':
      return Buffer.from(rest.replaceAll(' ', ''), 'hex')
    case 'text':
      return Buffer.from(plain(rest), 'latin1')
    case 'get':
    case 'post':
      return block(pseudo(host, plain(rest), word.toUpperCase()))
    default:
      return block([[plain(word), plain(rest)]])
  }
}

const ESCAPES: Record<string, string> = { r: '\r', n: '\n', t: '\t', s: ' ', '\\': '\\' }

function plain(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
