/**
 * Sites that take memory and descriptors and never give them back. Each stops at a bound of its own, so that a server
 * without a limit does not take the machine with it.
 */
import type { Fault } from './fault.ts'
import { TROUBLE } from './fault.ts'

/** Bytes at which a leak of memory stops by itself. */
const MOST_BYTES = 1.5 * 1024 ** 3
/** Rounds of the tight loops, each some 100 bytes: 4 GB and more, if nothing stops them before. */
const MOST_ROUNDS = 40_000_000
/** At 500 a second, a leak of descriptors has taken them all after some eight seconds. */
const DESCRIPTORS = 4_096
/** Longer than that. */
const LEAK_MS = 10_000
const OR_WELL: readonly Fault['mayAnswer'][number][] = [200, ...TROUBLE]

/** A leak that grows by a step every 20 ms from the first request on, whoever asks again. */
function growing(imports: string, step: string): string {
  return `${imports}
    const kept = []
    let steps = 0
    let timer
    export default (request, response) => {
      timer ??= setInterval(() => { ${step} }, 20)
      response.end('kept ' + kept.length)
    }`
}

export const LEAKING_FAULTS: readonly Fault[] = [
  {
    name: 'heap-slow',
    what: 'a slow heap leak',
    code: growing(
      '',
      `if (++steps * 4e6 > ${MOST_BYTES}) return clearInterval(timer)
       kept.push(Array.from({ length: 100_000 }, (_, index) => ({ index })))`,
    ),
    visits: ['/', '/'],
    mayAnswer: OR_WELL,
    lastsMs: 4_000,
  },
  {
    name: 'heap-push',
    what: 'a tight allocating loop: array push',
    code: `export default () => {
      const all = []
      for (let round = 0; round < ${MOST_ROUNDS}; round++) all.push({ round, text: 'x' + round })
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /./,
    lastsMs: 5_000,
  },
  {
    name: 'heap-map',
    what: 'a tight allocating loop: Map growth',
    code: `export default () => {
      // One Map holds 2^24 entries at the most.
      const maps = []
      for (let round = 0; round < ${MOST_ROUNDS}; round++) {
        if (round % 10_000_000 === 0) maps.push(new Map())
        maps.at(-1).set('key' + round, { round })
      }
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /./,
    lastsMs: 5_000,
  },
  {
    name: 'heap-arrays',
    what: 'a tight allocating loop: arrays of arrays',
    code: `export default () => {
      let all = []
      for (let round = 0; round < ${MOST_ROUNDS}; round++) all = [all, new Array(8).fill(round)]
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /./,
    lastsMs: 5_000,
  },
  {
    name: 'buffers',
    what: 'a leak of Buffers outside the heap',
    code: growing(
      '',
      `if (++steps * 8e6 > ${MOST_BYTES}) return clearInterval(timer)
       kept.push(Buffer.alloc(8_000_000, 1))`,
    ),
    visits: ['/', '/'],
    mayAnswer: OR_WELL,
    lastsMs: 4_000,
  },
  {
    name: 'timers',
    what: 'a leak of timers',
    code: growing('', 'for (let n = 0; n < 1000 && kept.length < 200_000; n++) kept.push(setInterval(() => {}, 1))'),
    visits: ['/', '/'],
    mayAnswer: OR_WELL,
    lastsMs: 4_000,
  },
  {
    name: 'sockets',
    what: 'a leak of sockets',
    code: growing(
      "import { createSocket } from 'node:dgram'",
      `for (let n = 0; n < 10; n++) {
         const socket = createSocket('udp4').on('error', () => {})
         kept.push(socket.bind({ port: 0, address: '127.0.0.1', exclusive: true }))
       }`,
    ),
    visits: ['/', '/'],
    mayAnswer: OR_WELL,
    descriptors: DESCRIPTORS,
    lastsMs: LEAK_MS,
  },
  {
    name: 'descriptors',
    what: 'a leak of file descriptors',
    code: growing(
      "import { openSync } from 'node:fs'",
      "for (let n = 0; n < 10; n++) { try { kept.push(openSync('/dev/null')) } catch {} }",
    ),
    visits: ['/', '/'],
    mayAnswer: OR_WELL,
    descriptors: DESCRIPTORS,
    lastsMs: LEAK_MS,
  },
]
