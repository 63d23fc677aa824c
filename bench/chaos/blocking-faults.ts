/** Sites that do not give their thread back. */
import type { Fault } from './fault.ts'
import { TROUBLE } from './fault.ts'

/** Longer than any hard limit of a trial, so that only the end of the process ends it. */
const NATIVE_WAIT_S = 20
const STACK = /app\.mjs:\d+/

/** A site that works for so long at each request, in ms. */
function burning(ms: number): Pick<Fault, 'code' | 'visits' | 'mayAnswer' | 'mustAnswer'> {
  const code = `export default (request, response) => {
    const until = performance.now() + ${ms}
    while (performance.now() < until);
    response.end('burnt')
  }`
  return { code, visits: ['/', '/', '/', '/'], mayAnswer: [200, 503], mustAnswer: [200] }
}

export const BLOCKING_FAULTS: readonly Fault[] = [
  {
    name: 'loop-in-handler',
    what: '`while (true) {}` in a handler',
    code: 'export default function loopInHandler() { while (true) {} }',
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: STACK,
  },
  {
    name: 'loop-in-timer',
    what: '`while (true) {}` in a timer',
    code: `export default (request, response) => {
      setTimeout(function loopInTimer() { while (true) {} }, 5)
      response.end('soon')
    }`,
    visits: ['/', '/'],
    mayAnswer: [200, ...TROUBLE],
    log: STACK,
  },
  {
    name: 'loop-in-promise',
    what: '`while (true) {}` behind a promise',
    code: `export default async (request, response) => {
      await new Promise((resolve) => setImmediate(resolve))
      while (true) {}
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: STACK,
  },
  {
    name: 'loop-at-load',
    what: '`while (true) {}` at module load',
    code: `while (true) {}
    export default () => {}`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /app\.mjs/,
  },
  {
    name: 'loop-in-second',
    what: '`while (true) {}` in a second request while the first is open',
    code: `export default (request, response) => {
      if (request.url === '/first') return void setTimeout(() => response.end('first'), 300)
      while (true) {}
    }`,
    visits: ['/first', '/second'],
    mayAnswer: [200, ...TROUBLE],
    log: STACK,
  },
  {
    name: 'burn',
    what: '300 ms of synchronous work at every request',
    ...burning(300),
  },
  {
    name: 'short-burn',
    what: '80 ms of synchronous work at every request',
    ...burning(80),
    log: /kept its thread most of the time/,
    lastsMs: 9_000,
  },
  {
    name: 'exec-sync',
    what: "`execSync('sleep')`: a native wait that `terminate()` cannot end",
    code: `import { execSync } from 'node:child_process'
    export default () => execSync('exec sleep ${NATIVE_WAIT_S}')`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /./,
    lastsMs: 5_000,
  },
  {
    name: 'read-fifo',
    what: 'reading a FIFO that nobody writes to',
    code: `import { execFileSync } from 'node:child_process'
    import { existsSync, readFileSync } from 'node:fs'
    const fifo = new URL('fifo', import.meta.url).pathname
    if (!existsSync(fifo)) execFileSync('mkfifo', [fifo])
    export default (request, response) => response.end(readFileSync(fifo))`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /./,
    lastsMs: 5_000,
  },
  {
    name: 'hashing',
    what: 'more passwords to hash than the helper threads of its process can (`crypto.pbkdf2`)',
    code: `import { pbkdf2 } from 'node:crypto'
    export default (request, response) =>
      pbkdf2('password', 'salt', 200_000, 64, 'sha512', () => response.end('hashed'))`,
    visits: Array.from({ length: 24 }, () => '/'),
    mayAnswer: [200, ...TROUBLE],
    mustAnswer: [200],
    lastsMs: 5_000,
  },
  {
    name: 'compressing',
    what: 'more to compress than the helper threads of its process can (`zlib.brotliCompress`)',
    code: `import { randomBytes } from 'node:crypto'
    import { brotliCompress } from 'node:zlib'
    const text = randomBytes(40_000).toString('hex')
    export default (request, response) => brotliCompress(text, () => response.end('compressed'))`,
    visits: Array.from({ length: 24 }, () => '/'),
    mayAnswer: [200, ...TROUBLE],
    mustAnswer: [200],
    lastsMs: 5_000,
  },
]
