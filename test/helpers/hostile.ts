/**
 * Hostile requests, and a player for them: raw bytes in test/fixtures/hostile/, each file's name saying what is expected:
 * `NAME.ANSWERS.CONNECTION[.ends][.KIND-ANSWERS[-CONNECTION]]….http`.
 *
 * - `ANSWERS`: the statuses in their order, joined by `-`; `ok` for an answer of the site; `none` for no answer.
 * - `CONNECTION`: `close` where the server has to end it, `open` where it has to be good for one more request.
 * - `ends`: the client ends its side behind the bytes.
 * - `KIND-…`: what sites of one kind do instead.
 *
 * The requests are for a.test, in whose place the host of the site stands that is asked. Whatever of them names b.test is bait:
 * no server may take it for a request. Knows nothing of how a server is reached: whoever plays gives a connection, over TCP,
 * TLS or whatever else.
 *
 * Limit: `DEADLINE_MS` for each wait.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { DEADLINE_MS } from './box.ts'
import type { HostileSite } from './hostile-sites.ts'
import { LETTERS } from './hostile-sites.ts'

const FOLDER = join(import.meta.dirname, '../fixtures/hostile')
/** The host in the files; the hosts of all sites have as many letters, so that no length changes. */
export const CASE_HOST = 'a.test'

export interface HostileCase {
  name: string
  bytes: Buffer
  due: Due
  /** What sites of a kind do instead. */
  others: Map<string, Due>
  ends: boolean
}

/** What a server has to do. */
interface Due {
  /** `ok`, or a status. */
  answers: string[]
  closes: boolean
}

export interface Answer {
  status: string
  head: string
  body: string
}

export interface Player {
  /** Who is asked. */
  site: HostileSite
  /** A fresh connection to it. */
  open(site: HostileSite): Duplex
}

const NAME =
  /^(.+)\.((?:\d{3}|ok)(?:-(?:\d{3}|ok))*|none)\.(open|close)(\.ends)?((?:\.(?:module|static|proxy|command)(?:-(?:\d{3}|ok))+(?:-open|-close)?)*)\.http$/

/** All cases, by name. */
export function hostileCases(): HostileCase[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.http'))
    .map((file) => {
      const parts = NAME.exec(file)
      assert.ok(parts, `${file} does not say what is expected`)
      const [, name = '', answers = '', connection = '', ends, others = ''] = parts
      const due = { answers: answers === 'none' ? [] : answers.split('-'), closes: connection === 'close' }
      const byKind = others.split('.').map((other): [string, Due] => {
        const [kind = '', ...words] = other.split('-')
        const told = words.filter((word) => word !== 'open' && word !== 'close')
        return [kind, { answers: told, closes: told.length < words.length ? words.at(-1) === 'close' : due.closes }]
      })
      return { name, bytes: readFileSync(join(FOLDER, file)), due, others: new Map(byKind), ends: ends !== undefined }
    })
}

/** The bytes with another host in the place of that of the files. */
export function addressedTo(host: string, bytes: Buffer): Buffer {
  assert.equal(host.length, CASE_HOST.length)
  return Buffer.from(bytes.toString('latin1').replaceAll(CASE_HOST, host), 'latin1')
}

/** Whether the server has to end the connection of a case to a site. */
export function isClosed({ due, others }: HostileCase, { kind }: HostileSite): boolean {
  return (others.get(kind) ?? due).closes
}

/** How a case is sent: whole, or in parts that end at these places. */
export type Cuts = readonly number[]

/**
 * Plays one case on a connection of its own, and fails where anything is not as expected.
 *
 * @returns how many answers the site itself gave
 */
export async function play(hostile: HostileCase, player: Player, cuts: Cuts): Promise<number> {
  const { host, kind, letter } = player.site
  const line = new Line(
    player.open(player.site),
    `${hostile.name} to ${host} (${kind}), cut at ${cuts.join() || 'nothing'}`,
  )
  const { answers: due, closes } = hostile.others.get(kind) ?? hostile.due
  try {
    await line.send(addressedTo(host, hostile.bytes), cuts)
    if (hostile.ends) line.socket.end()
    if (closes) await line.ended()
    else {
      await line.answered(due.length)
      // Every server answers that at once.
      line.socket.write(`GET /good HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      await line.answered(due.length + 1)
    }
    const answers = answersIn(line.text)
    const expected = closes ? due : [...due, 'ok']
    const found = answers.map((answer) => (player.site.isOwn(answer) ? 'ok' : answer.status))
    assert.doesNotMatch(
      line.text,
      new RegExp(`site (?!${letter})[${LETTERS}]\\b`),
      `${line.name}: the answer of another site`,
    )
    if (isEarly(hostile, player, found)) return 1
    assert.deepEqual(found, expected, `${line.name}: ${line.error}\n${line.text}`)
    if (closes && due.length > 0) {
      assert.match(answers.at(-1)?.head ?? '', /\r\nconnection: close\r\n/i, line.name)
    }
    return found.filter((status) => status === 'ok').length
  } finally {
    line.socket.destroy()
  }
}

/** Whether the site has answered, and then the connection was ended, with or without what is expected. */
function isEarly({ bytes, due }: HostileCase, { site }: Player, found: readonly string[]): boolean {
  const { answers, closes } = due
  if (!site.answersEarly || !closes || !bytes.toString('latin1').startsWith('POST') || found[0] !== 'ok') return false
  return found.length === 1 || found.slice(1).join() === answers.join()
}

/** One connection, and all that came on it. */
class Line {
  readonly socket: Duplex
  readonly name: string
  text = ''
  error = ''
  #isOver = false
  #changed = (): void => {}

  constructor(socket: Duplex, name: string) {
    this.socket = socket
    this.name = name
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1')
      this.#changed()
    })
    // A reset is an end as well; what came before it counts.
    for (const event of ['error', 'end', 'close']) {
      socket.on(event, (error: unknown) => {
        this.#isOver = true
        if (error instanceof Error) this.error = error.message
        this.#changed()
      })
    }
  }

  async send(bytes: Buffer, cuts: Cuts): Promise<void> {
    let from = 0
    for (const cut of [...cuts, bytes.length]) {
      if (this.#isOver) return
      await new Promise((resolve) => this.socket.write(bytes.subarray(from, cut), resolve))
      // Lets a server in the same process, and the kernel, see the part by itself.
      await turn()
      from = cut
    }
  }

  ended(): Promise<void> {
    return this.#until('the server to end the connection', () => this.#isOver)
  }

  async answered(count: number): Promise<void> {
    await this.#until(`answer ${count}`, () => this.#isOver || answersIn(this.text).length >= count)
  }

  async #until(what: string, check: () => boolean): Promise<void> {
    if (check()) return
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`${this.name}: waited ${DEADLINE_MS} ms for ${what}; what came:\n${this.text}`))
      }, DEADLINE_MS)
      this.#changed = () => {
        if (!check()) return
        clearTimeout(late)
        resolve()
      }
    })
  }
}

/** The whole answers in a text, with bodies as their heads announce them. What is left over is an answer of its own. */
function answersIn(text: string): Answer[] {
  const answers: Answer[] = []
  let rest = text
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n') + 4
    const head = rest.slice(0, end)
    const length = lengthOf(head, rest.slice(end))
    if (end === 3 || length === undefined || rest.length < end + length) return answers
    const status = head.slice(9, 12)
    // Whether a site asks for a body is its own affair.
    if (status !== '100') answers.push({ status, head, body: rest.slice(end, end + length) })
    rest = rest.slice(end + length)
  }
  return answers
}

function lengthOf(head: string, rest: string): number | undefined {
  if (/^HTTP\/1\.1 (?:1\d\d|204|304) /.test(head)) return 0
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1]
  if (length !== undefined) return Number(length)
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(head)) return rest.length
  const end = /(?:^|\r\n)0\r\n\r\n/.exec(rest)
  return end === null ? undefined : end.index + end[0].length
}
