import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import type { LoadOrder, LoadReport } from '../../src/protocol/frames.ts'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

interface Fault {
  name: string
  files: Record<string, string>
  order?: Partial<LoadOrder>
  message: RegExp
  /** File, line and column of the fault; undefined where there is none to tell. */
  place: [string, number?, number?] | undefined
}

const faults: Fault[] = [
  {
    name: 'a syntax error in CommonJS',
    files: { 'main.cjs': 'const a = 1\nconst b = = 2\n' },
    message: /^Unexpected token '='$/,
    place: ['main.cjs', 2, 11],
  },
  {
    name: 'a syntax error in an ES module',
    files: { 'main.mjs': 'const a = 1\nexport const b = = 2\n' },
    message: /^Unexpected token '='$/,
    place: ['main.mjs', 2, 18],
  },
  {
    name: 'a syntax error in an imported file',
    files: { 'main.mjs': "import './lib/other.mjs'\n", 'lib/other.mjs': '\n\nlet a\nlet a\n' },
    message: /^Identifier 'a' has already been declared$/,
    place: ['lib/other.mjs', 4, 5],
  },
  {
    name: 'a syntax error in a required file',
    files: { 'main.cjs': "require('./other.cjs')\n", 'other.cjs': 'if (\n' },
    message: /^Unexpected end of input$/,
    place: ['other.cjs', 2],
  },
  {
    name: 'a syntax error in TypeScript',
    files: { 'main.ts': 'const a: number = 1\nexport const b: = 2\n' },
    message: /^Unexpected token `=`/,
    place: ['main.ts', 2, 17],
  },
  {
    name: 'TypeScript that has to be compiled',
    files: { 'main.ts': 'export default 1\nenum Colour { Red }\n' },
    message: /enum is not supported/,
    place: ['main.ts', 2, 1],
  },
  {
    name: 'an error at the top of an ES module',
    files: { 'main.mjs': "function f() {\n  throw new TypeError('boom')\n}\nf()\n" },
    message: /^boom$/,
    place: ['main.mjs', 2, 9],
  },
  {
    name: 'an error at the top of a CommonJS module',
    files: { 'main.cjs': "\nthrow new Error('boom')\n" },
    message: /^boom$/,
    place: ['main.cjs', 2, 7],
  },
  {
    name: 'an error in TypeScript, at the line that was written',
    files: { 'main.ts': "interface A {\n  b: string\n}\nthrow new Error('typed') as unknown\n" },
    message: /^typed$/,
    place: ['main.ts', 4, 7],
  },
  {
    name: 'a missing package in an ES module',
    files: { 'main.mjs': "import fs from 'node:fs'\nimport x from 'no-such-package/deep'\n" },
    message: /^Cannot find package 'no-such-package' imported from/,
    place: ['main.mjs', 2, 15],
  },
  {
    name: 'a package that was not installed',
    files: {
      'main.mjs': "import x from '@own/thing/deep'\n",
      'package.json': '{"dependencies":{"@own/thing":"1"}}',
    },
    message: /; it is in \/\S+\/package\.json: run npm install there$/,
    place: ['main.mjs', 1, 15],
  },
  {
    name: 'a package that is not listed',
    files: { 'lib/main.cjs': "require('no-such-package')\n", 'package.json': '{}' },
    message: /^Cannot find module 'no-such-package'; run npm install no-such-package in \/((?!lib).)+$/,
    place: ['lib/main.cjs', 1, 9],
  },
  {
    name: 'a file that is not in a package',
    files: { 'main.cjs': "require('dep/nope')\n", 'node_modules/dep/index.js': '' },
    message: /^Cannot find module 'dep\/nope'$/,
    place: ['main.cjs', 1, 9],
  },
  {
    name: 'a package that a package of the site lacks',
    files: { 'main.cjs': "require('dep')\n", 'node_modules/dep/index.js': "require('no-such-package')\n" },
    message: /^Cannot find module 'no-such-package'$/,
    place: ['node_modules/dep/index.js', 1, 9],
  },
  {
    name: 'a missing file in an ES module',
    files: { 'main.mjs': "\n\nimport x from './lib/nope.mjs'\n" },
    message: /^Cannot find module '.+nope.mjs' imported from/,
    place: ['main.mjs', 3, 15],
  },
  {
    name: 'a missing file in a CommonJS module',
    files: { 'main.cjs': "require('fs')\nrequire('./nope')\n" },
    message: /^Cannot find module '.\/nope'$/,
    place: ['main.cjs', 2, 9],
  },
  {
    name: 'a missing export',
    files: { 'main.mjs': "\nimport { nope } from './other.mjs'\n", 'other.mjs': 'export const yes = 1\n' },
    message: /does not provide an export named 'nope'/,
    place: ['main.mjs', 2, 10],
  },
  {
    name: 'JSON that is none',
    files: { 'main.cjs': "require('./settings.json')\n", 'settings.json': '{"a": }' },
    message: /settings\.json: Unexpected token/,
    place: ['settings.json'],
  },
  {
    name: 'something thrown that is no error',
    files: { 'main.mjs': "throw 'a string'\n" },
    message: /^the module threw 'a string'$/,
    place: ['main.mjs'],
  },
  {
    name: 'process.exit at the top',
    files: { 'main.mjs': "if (!process.env.PORT) {\n  console.error('PORT is not set')\n  process.exit(3)\n}\n" },
    message: /^the site called process\.exit\(3\) while it was loading$/,
    place: ['main.mjs', 3, 11],
  },
  {
    name: 'process.exit a little later',
    files: { 'main.cjs': 'setTimeout(() => process.exit(1), 5)\n' },
    message: /^the site called process\.exit\(1\) while it was loading$/,
    place: ['main.cjs', 1, 26],
  },
  {
    name: 'an error that a handler of the site ends the process for',
    files: {
      'main.cjs':
        "process.on('uncaughtException', () => process.exit(1))\nsetImmediate(() => {\n  throw new Error('the cause')\n})\n",
    },
    message: /^the cause$/,
    place: ['main.cjs', 3, 9],
  },
  {
    name: 'a rejection that nobody handles',
    files: { 'main.mjs': "async function start() {\n  throw new Error('no database')\n}\nstart()\n" },
    message: /^no database$/,
    place: ['main.mjs', 2, 9],
  },
  {
    name: 'an error in a callback before it listens',
    files: { 'main.cjs': "setImmediate(() => {\n  throw new Error('in a callback')\n})\n" },
    message: /^in a callback$/,
    place: ['main.cjs', 2, 9],
  },
  {
    name: 'a module that never comes to its end',
    files: { 'main.mjs': 'setInterval(() => {}, 1000)\nawait new Promise(() => {})\n' },
    order: { startTimeoutMs: 100 },
    message: /^the module was not loaded within 100 ms/,
    place: ['main.mjs'],
  },
  {
    name: 'a module that exports nothing and does not listen',
    files: { 'main.mjs': 'export const a = 1\n' },
    order: { startTimeoutMs: 100 },
    message: /^the module did not call listen\(\) within 100 ms .*, and it exports no handler/,
    place: ['main.mjs'],
  },
  {
    name: 'a module that leaves listening to a process that it starts',
    files: {
      'main.cjs': "require('child_process').fork('server.cjs')\n",
      // It ends with the channel to its parent.
      'server.cjs': "process.on('message', () => {})\n",
    },
    order: { startTimeoutMs: 500 },
    message:
      /exports no handler.*; what a process of its own listens on is not seen, and it has started server\.cjs as one/,
    place: ['main.cjs'],
  },
  {
    name: 'a server on another port than http_port',
    files: { 'main.cjs': "require('http').createServer().listen(3000)\n" },
    order: { startTimeoutMs: 100, httpPort: 80 },
    message: /^http_port = 80 is set, but the module listens only on 3000$/,
    place: ['main.cjs'],
  },
  {
    name: 'a server that is not HTTP',
    files: { 'main.cjs': "\nrequire('net').createServer().listen(5432)\n" },
    message: /wants to listen on port 5432 with a server that is not HTTP/,
    place: ['main.cjs', 2, 31],
  },
  {
    name: 'a port from an environment that has none',
    files: { 'main.cjs': "require('http').createServer().listen(Number(process.env.PORT))\n" },
    message: /Received type number \(NaN\)\.; if it is PORT .* write PORT = 8080 in \[env\]/,
    place: ['main.cjs', 1, 32],
  },
  {
    name: 'a function that could be two things',
    files: { 'main.mjs': 'export default (a, b) => {}\n' },
    message: /type = handler, or type = fastify/,
    place: ['main.mjs'],
  },
  {
    name: 'a Fastify plugin that fails',
    files: { 'main.mjs': "export default async function (fastify) {\n  throw new Error('plugin')\n}\n" },
    message: /^plugin$/,
    place: ['main.mjs', 2, 9],
  },
  {
    name: 'a module that is not there',
    files: {},
    message: /^the site's module is not there: .+main\.mjs$/,
    place: ['main.mjs'],
  },
]

for (const fault of faults) {
  test(`says what is wrong: ${fault.name}`, async (t) => {
    const folder = writeSite(t, fault.files)
    const main = Object.keys(fault.files)[0] ?? 'main.mjs'

    const report = await load({ module: join(folder, main), ...fault.order })

    assert.equal(report.shape, undefined)
    const { message, file, line, column } = report.failure ?? { message: 'no failure' }
    assert.match(message, fault.message)
    const expected = fault.place && [join(folder, fault.place[0]), fault.place[1], fault.place[2]]
    assert.deepEqual([file, line, column], expected)
  })
}

function load(order: Partial<LoadOrder> & { module: string }): Promise<LoadReport> {
  return thread.load({ generation: ++generation, startTimeoutMs: 5000, ...order })
}

test('a root that is not there is told', async (t) => {
  const folder = writeSite(t, { 'main.mjs': 'export default (req, res) => res.end()' })

  const report = await load({ module: join(folder, 'main.mjs'), root: join(folder, 'nowhere') })

  assert.match(report.failure?.message ?? '', /root folder is not there/)
})

test('files that were read are told after a failure too', async (t) => {
  const folder = writeSite(t, {
    'main.mjs': "import './a.mjs'\nimport './bad.mjs'\nimport 'dep'\n",
    'a.mjs': 'export {}',
    'bad.mjs': 'export const = 1',
    'node_modules/dep/index.js': '',
    'node_modules/dep/package.json': '{"name":"dep"}',
  })

  const { files, failure } = await load({ module: join(folder, 'main.mjs') })

  assert.deepEqual(
    [...files].sort(),
    ['a.mjs', 'bad.mjs', 'main.mjs'].map((name) => join(folder, name)),
  )
  assert.equal(failure?.file, join(folder, 'bad.mjs'))
})

test('files that were looked for and not found are told after a failure, where they could be the cure', async (t) => {
  const folder = writeSite(t, {
    'main.mjs': "import './lib/gone.mjs'\nimport 'no-package'",
    'main.cjs': "try { require('./optional') } catch {}\nrequire('../gone.cjs')",
    'well.cjs': "try { require('./optional') } catch {}\nmodule.exports = (req, res) => res.end()",
  })
  const filesOf = async (main: string): Promise<string[]> =>
    (await load({ module: join(folder, main) })).files.map((file) => relative(folder, file)).sort()

  assert.deepEqual(await filesOf('main.mjs'), ['lib/gone.mjs', 'main.mjs'])
  const optional = ['', '.js', '.json', '.node', '/index.js', '/package.json'].map((ending) => `optional${ending}`)
  assert.deepEqual(await filesOf('main.cjs'), ['../gone.cjs', '../gone.cjs.js', 'main.cjs', ...optional].sort())
  assert.deepEqual(await filesOf('well.cjs'), ['well.cjs'])
})

test('of files that were looked for and not found only so many are kept', async (t) => {
  const folder = writeSite(t, {
    'main.cjs': "for (let n = 0; n < 1000; n++) try { require('./none' + n + '.js') } catch {}\nrequire('./last')",
  })

  const { files } = await load({ module: join(folder, 'main.cjs') })

  assert.ok(files.length > 100 && files.length < 110, `${files.length}`)
})

test('a site that failed can be loaded again once it is repaired', async (t) => {
  const broken = writeSite(t, { 'main.cjs': 'oops(' })
  const { failure } = await load({ module: join(broken, 'main.cjs') })
  const whole = writeSite(t, { 'main.cjs': "module.exports = (req, res) => res.end('whole')" })

  const report = await load({ module: join(whole, 'main.cjs') })

  assert.ok(failure)
  assert.equal(report.failure, undefined)
  assert.equal((await thread.get(generation)).text, 'whole')
})

test('what a failing site wrote is in its log', async (t) => {
  const folder = writeSite(t, { 'main.cjs': "console.error('PORT is not set')\nprocess.exit(1)" })

  await load({ module: join(folder, 'main.cjs') })

  const line = await thread.log(generation, /PORT is not set/)
  assert.equal(line.level, 'err')
})

test('a request for a generation that failed to load is refused', async (t) => {
  const folder = writeSite(t, { 'main.cjs': 'oops(' })
  await load({ module: join(folder, 'main.cjs') })

  const reply = await thread.get(generation)

  const [frame] = reply.frames
  assert.deepEqual(frame, { type: 'abort', id: reply.id, reason: 'generation not loaded' })
})
