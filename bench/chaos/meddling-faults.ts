/** Sites that change what belongs to all: the log, the process' state, the prototypes. They answer as if nothing were. */
import type { Fault } from './fault.ts'
import { TROUBLE } from './fault.ts'

/** At each request; then it answers. */
function meddling(what: string, imports = ''): string {
  return `${imports}
    export default (request, response) => {
      ${what}
      response.end('done')
    }`
}

const WELL = { visits: ['/', '/'], mayAnswer: [200], mustAnswer: [200] } as const

export const MEDDLING_FAULTS: readonly Fault[] = [
  {
    name: 'log-flood',
    what: 'a flood of log lines',
    code: `let left = 300_000
    let timer
    export default (request, response) => {
      timer ??= setInterval(() => {
        for (let line = 0; line < 1_000; line++, left--) console.log('flood ' + 'x'.repeat(100))
        if (left <= 0) clearInterval(timer)
      }, 10)
      response.end('flooding')
    }`,
    visits: ['/', '/'],
    mayAnswer: [200, ...TROUBLE],
  },
  { ...WELL, name: 'chdir', what: '`process.chdir`', code: meddling("process.chdir('/')") },
  {
    ...WELL,
    name: 'env',
    what: '`process.env` changed, emptied and replaced',
    code: meddling(`process.env.JOURNAL = '/nowhere/journal'
      process.env.NODE_ENV = 'changed'
      for (const name of Object.keys(process.env)) delete process.env[name]
      process.env = { NOTHING: 'left' }`),
  },
  {
    name: 'patch-server',
    what: '`http.Server.prototype` patched',
    code: meddling(
      `const refuse = () => { throw new Error('patched') }
       Server.prototype.emit = refuse
       Server.prototype.listen = refuse
       Server.prototype.close = refuse`,
      "import { Server } from 'node:http'",
    ),
    visits: ['/', '/'],
    mayAnswer: [200, ...TROUBLE],
  },
  {
    ...WELL,
    name: 'extend-array',
    what: '`Array.prototype` with a method more that shows in `for … in`',
    code: meddling('Array.prototype.last = function () { return this[this.length - 1] }'),
  },
  {
    name: 'patch-array',
    what: '`Array.prototype` methods replaced by ones that throw',
    code: meddling(`const refuse = () => { throw new Error('patched') }
      for (const name of ['push', 'map', 'shift', 'slice', 'splice']) Array.prototype[name] = refuse`),
    visits: ['/', '/'],
    mayAnswer: [200, ...TROUBLE, 'none'],
  },
  { ...WELL, name: 'exit-code', what: '`process.exitCode` set', code: meddling('process.exitCode = 7') },
  {
    ...WELL,
    name: 'signal-handlers',
    what: 'handlers for every signal',
    code: meddling(`for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGPIPE', 'SIGCHLD']) {
      process.on(name, () => {})
    }`),
  },
  {
    name: 'remove-listeners',
    what: '`process.removeAllListeners`, then an uncaught exception',
    code: `export default () => {
      process.removeAllListeners()
      for (const name of ['uncaughtException', 'unhandledRejection', 'message', 'disconnect', 'exit']) {
        process.removeAllListeners(name)
      }
      setTimeout(() => { throw new Error('nobody listens') }, 5)
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /nobody listens/,
  },
]
