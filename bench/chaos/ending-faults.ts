/** Sites, and others, that end the thread or the process that they are in, or would like to. */
import { crashingAddon } from './crashing-addon.ts'
import type { Fault } from './fault.ts'
import { TROUBLE } from './fault.ts'

const CALM = "export default (request, response) => response.end('calm')"

export const ENDING_FAULTS: readonly Fault[] = [
  {
    name: 'exit',
    what: '`process.exit()` in a handler and in a timer',
    code: `export default (request) => {
      if (request.url === '/now') process.exit(1)
      setTimeout(() => process.exit(0), 5)
    }`,
    visits: ['/now', '/later'],
    mayAnswer: TROUBLE,
    log: /exit/,
  },
  {
    name: 'abort',
    what: '`process.abort()`',
    code: 'export default () => process.abort()',
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /abort/,
  },
  {
    name: 'kill-self',
    what: '`process.kill(process.pid)`',
    code: `export default (request) => {
      if (request.url === '/term') process.kill(process.pid)
      else process.kill(process.pid, 'SIGKILL')
    }`,
    visits: ['/term', '/kill'],
    mayAnswer: TROUBLE,
    log: /./,
  },
  {
    name: 'kill-parent',
    what: '`process.kill(process.ppid)`',
    // An orphan's parent is the system's first process, which is nobody's to kill.
    code: `export default (request) => {
      if (process.ppid === 1) throw new Error('no parent')
      process.kill(process.ppid, request.url === '/term' ? 'SIGTERM' : 'SIGKILL')
    }`,
    visits: ['/term', '/kill'],
    mayAnswer: TROUBLE,
    log: /./,
  },
  {
    name: 'close-descriptors',
    what: '`fs.closeSync` of descriptors 0 to 63',
    code: `import { closeSync } from 'node:fs'
    export default (request, response) => {
      for (let descriptor = 0; descriptor < 64; descriptor++) {
        try {
          closeSync(descriptor)
        } catch {}
      }
      response.end('closed')
    }`,
    visits: ['/', '/'],
    mayAnswer: [200, ...TROUBLE],
  },
  {
    name: 'throw-in-timer',
    what: 'an uncaught exception in a timer',
    code: `export default () => {
      setTimeout(() => { throw new Error('thrown in a timer') }, 5)
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /thrown in a timer[\s\S]*app\.mjs:\d+/,
  },
  {
    name: 'rejection',
    what: 'an unhandled rejection',
    code: `export default () => {
      Promise.reject(new Error('rejected by nobody'))
    }`,
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /rejected by nobody[\s\S]*app\.mjs:\d+/,
  },
  {
    name: 'throw-in-listener',
    what: 'a throw in an event handler, and an `error` event without a listener',
    code: `import { EventEmitter } from 'node:events'
    export default (request) => {
      if (request.url === '/emit') return void setImmediate(() => new EventEmitter().emit('error', new Error('unheard')))
      request.resume().on('end', () => { throw new Error('thrown in a listener') })
    }`,
    visits: ['/', '/emit'],
    mayAnswer: TROUBLE,
    log: /thrown in a listener[\s\S]*app\.mjs:\d+/,
  },
  {
    name: 'segfault',
    what: 'a segfault in a native addon',
    code: `export default () => {
      process.dlopen({ exports: {} }, new URL('crash.node', import.meta.url).pathname)
    }`,
    files: { 'crash.node': crashingAddon() ?? Buffer.alloc(0) },
    visits: ['/', '/'],
    mayAnswer: TROUBLE,
    log: /./,
    lastsMs: 4_000,
  },
  {
    name: 'kill-from-outside',
    what: 'kill -9 of a worker process from outside',
    code: CALM,
    visits: ['/', '/'],
    mayAnswer: [200],
    signal: 'SIGKILL',
  },
  {
    name: 'stop-from-outside',
    what: 'kill -STOP of a worker process from outside',
    code: CALM,
    visits: ['/', '/'],
    mayAnswer: [200],
    signal: 'SIGSTOP',
    lastsMs: 4_000,
  },
]
