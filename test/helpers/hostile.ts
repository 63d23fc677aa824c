/**
 * Hostile requests, and a player for them: raw bytes in test/fixtures/hostile/, each file's name saying what is expected:
 * `NAME.ANSWERS.CONNECTION[.ends].http`.
 *
 * - `ANSWERS`: the statuses in their order, joined by `-`; `ok` for an answer of the site; `none` for no answer.
 * - `CONNECTION`: `close` where the server has to end it, `open` where it has to be good for one more request.
 * - `ends`: the client ends its side behind the bytes.
 *
 * The requests are for a.test. Whatever of them names b.test is bait: no server may take it for a request. Knows nothing of
 * how a server is reached: whoever plays gives a connection, over TCP, TLS or whatever else.
 *
 * Limit: `DEADLINE_MS` for each wait.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { DEADLINE_MS } from './box.ts'

const FOLDER = join(import.meta.dirname, '../fixtures/hostile')
/** A request that every server answers at once. */
const GOOD = 'GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n'

export interface HostileCase {
  name: string
  bytes: Buffer
  /** `ok`, or a status. */
  answers: string[]
  closes: boolean
  ends: boolean
}

export interface Answer {
  status: string
  head: string
  body: string
}

export interface Player {
  /** A fresh connection. */
  open(): Duplex
  /** Whether an answer is one of the site. */
  isOfSite(answer: Answer): boolean
  /** Whether the site answers a POST before its body has come, so that what is wrong in the body may be seen after that. */
  answersEarly?: boolean
}

/** All cases, by name. */
export function hostileCases(): HostileCase[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.http'))
    .map((file) => {
      const parts = /^(.+)\.((?:\d{3}|ok)(?:-(?:\d{3}|ok))*|none)\.(open|close)(\.ends)?\.http$/.exec(file)
      assert.ok(parts, `${file} does not say what is expected`)
      const [, name = '', answers = '', connection, ends] = parts
      return {
        name,
        bytes: readFileSync(join(FOLDER, file)),
        answers: answers === 'none' ? [] : answers.split('-'),
        closes: connection === 'close',
        ends: ends !== undefined,
      }
    })
}

/** How a case is sent: whole, or in parts that end at these places. */
export type Cuts = readonly number[]

/** Plays one case on a connection of its own, and fails where anything is not as expected. */
export async function play(hostile: HostileCase, player: Player, cuts: Cuts): Promise<void> {
  const line = new Line(player.open(), `${hostile.name}, cut at ${cuts.join() || 'nothing'}`)
  try {
    await line.send(hostile.bytes, cuts)
    if (hostile.ends) line.socket.end()
    if (hostile.closes) await line.ended()
    else {
      await line.answered(hostile.answers.length)
      line.socket.write(GOOD)
      await line.answered(hostile.answers.length + 1)
    }
    const answers = answersIn(line.text)
    const expected = hostile.closes ? hostile.answers : [...hostile.answers, 'ok']
    const found = answers.map((answer) => (player.isOfSite(answer) ? 'ok' : answer.status))
    if (isEarly(hostile, player, found)) return
    assert.deepEqual(found, expected, `${line.name}: ${line.error}\n${line.text}`)
    if (hostile.closes && hostile.answers.length > 0) {
      assert.match(answers.at(-1)?.head ?? '', /\r\nconnection: close\r\n/i, line.name)
    }
  } finally {
    line.socket.destroy()
  }
}

/** Whether the site has answered, and then the connection was ended, with or without what is expected. */
function isEarly({ bytes, answers, closes }: HostileCase, { answersEarly }: Player, found: readonly string[]): boolean {
  if (!answersEarly || !closes || !bytes.toString('latin1').startsWith('POST') || found[0] !== 'ok') return false
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
    answers.push({ status: head.slice(9, 12), head, body: rest.slice(end, end + length) })
    rest = rest.slice(end + length)
  }
  return answers
}

function lengthOf(head: string, rest: string): number | undefined {
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1]
  if (length !== undefined) return Number(length)
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(head)) return rest.length
  const end = /(?:^|\r\n)0\r\n\r\n/.exec(rest)
  return end === null ? undefined : end.index + end[0].length
}
