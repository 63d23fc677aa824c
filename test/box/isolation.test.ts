/** What sites that share a thread see: each its own environment, folder and packages, and nothing of the others. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync, symlinkSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import WebSocket from 'ws'
import type { SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

/** All sites in one thread: what is shared by mistake shows. */
const ONE_THREAD = { config: '[pool]\nprocesses = 1\nthreads = 1' }
const TWENTY = Array.from({ length: 20 }, (_, index) => `site${index}`)

function sitesOf(files: Record<string, string>): Record<string, SiteFixture> {
  return Object.fromEntries(TWENTY.map((name) => [name, { files, more: `[env]\nNAME = ${name}` }]))
}

/** Tells its environment and folder from every kind of callback that a request can have. */
const EVERYWHERE = `
  import { createServer } from 'node:http'
  import { env } from 'node:process'
  import { resolve } from 'node:path'
  const top = process.env.NAME
  const places = () => [process.env.NAME, env.NAME, process.cwd().split('/').pop(), resolve('x').split('/').at(-2)]
  createServer((req, res) => {
    const seen = { top: [top, top, top, top], handler: places() }
    const body = []
    req.on('data', (chunk) => { body.push(chunk); seen.data = places() })
    req.on('end', () => {
      seen.end = places()
      setTimeout(() => {
        seen.timer = places()
        Promise.resolve().then(() => {
          seen.promise = places()
          process.nextTick(() => {
            seen.tick = places()
            res.on('finish', () => console.log('finished in ' + process.env.NAME + ' ' + process.cwd().split('/').pop()))
            res.end(JSON.stringify(seen))
          })
        })
      }, 1)
    })
  }).listen(8080)`

test('twenty sites in one thread each see their own environment and folder, in every callback', async (t) => {
  const box = await startBox(t, sitesOf({ 'app.mjs': EVERYWHERE }), ONE_THREAD)

  const replies = await Promise.all(
    TWENTY.flatMap((name) =>
      [name, name].map((one) => box.ask(one, '/', { method: 'POST', body: 'x'.repeat(100_000) })),
    ),
  )

  for (const [index, reply] of replies.entries()) {
    const name = TWENTY[Math.floor(index / 2)]
    for (const [place, seen] of Object.entries(JSON.parse(reply.text) as Record<string, string[]>)) {
      assert.deepEqual(seen, [name, name, name, name], `${name}: ${place}`)
    }
  }
  for (const name of TWENTY) {
    await box.waitFor(`${name}'s line`, () => box.output.includes(`finished in ${name} ${name}`))
  }
})

test("a site's variables are its own, and the server's secrets are not among them", async (t) => {
  const app = `export default () => { process.env.ADDED = process.env.NAME; return Response.json(process.env) }`
  const more = '[env]\nNAME = $BOX_NAME\nPRICE = 5$$'
  const box = await startBox(
    t,
    {
      one: { files: { 'app.mjs': app }, more },
      two: { files: { 'app.mjs': 'export default () => Response.json(process.env)' } },
    },
    { ...ONE_THREAD, env: { BOX_NAME: 'from the server', BOX_SECRET: 'not for sites' } },
  )

  const one = JSON.parse((await box.ask('one')).text)
  const two = JSON.parse((await box.ask('two')).text)

  assert.deepEqual([one.NAME, one.PRICE, one.ADDED], ['from the server', '5$', 'from the server'])
  assert.equal(one.BOX_SECRET, undefined)
  assert.deepEqual([two.NAME, two.ADDED, two.BOX_SECRET], [undefined, undefined, undefined])
  assert.equal(two.PATH, process.env.PATH)
})

test('env_file gives variables, [env] wins over it, and an edit of it is picked up', async (t) => {
  const app = "export default () => new Response(process.env.A + ' ' + process.env.B)"
  const box = await startBox(t, {
    app: {
      files: { 'app.mjs': app, '.env': 'A=file\nB="from the file"\n' },
      ini: '[site]\ndomains = app.test\nroot = ../sites/app\nmodule = app.mjs\nenv_file = ../sites/app/.env\n[env]\nA = ini\n',
    },
  })

  const first = await box.ask('app')
  box.write('sites/app/.env', 'A=file\nB=edited\n')
  await box.waitFor('the edit to be live', async () => (await box.ask('app')).text === 'ini edited')

  assert.equal(first.text, 'ini from the file')
})

test('two sites use two versions of one package in one thread', async (t) => {
  const fake = (version: string) => ({
    'app.cjs': "module.exports = (req, res) => res.end(require('lib').version)",
    'node_modules/lib/package.json': `{"name":"lib","version":"${version}","main":"index.js"}`,
    'node_modules/lib/index.js': `exports.version = '${version}'`,
  })
  const box = await startBox(t, { old: { files: fake('1.0.0') }, new: { files: fake('2.0.0') } }, ONE_THREAD)

  assert.equal((await box.ask('old')).text, '1.0.0')
  assert.equal((await box.ask('new')).text, '2.0.0')
})

test("console lines of a site go to the server's log, each with the site's name", async (t) => {
  const app = "export default () => { console.log('to %s', 'out'); console.error('to err'); return new Response('ok') }"
  const box = await startBox(t, { talker: { files: { 'app.mjs': app } } }, ONE_THREAD)

  await box.ask('talker')
  await box.waitFor('both lines', () => box.output.includes('to out') && box.output.includes('to err'))

  const lines = box.output.split('\n').filter((line) => line.includes('to out') || line.includes('to err'))
  for (const line of lines) assert.match(line, /talker/)
})

test('an upgraded connection keeps the environment of its site', async (t) => {
  const app = `import { createServer } from 'node:http'
    import { WebSocketServer } from 'ws'
    const server = createServer().listen(1)
    new WebSocketServer({ server }).on('connection', (socket) => {
      socket.on('message', () => setTimeout(() => socket.send(process.env.NAME + ' ' + process.cwd().split('/').pop()), 1))
    })`
  const box = await startBox(t, sitesOf({ 'app.mjs': app }), ONE_THREAD)

  const answers = await Promise.all(
    TWENTY.slice(0, 5).map(async (name) => {
      const socket = new WebSocket(`ws://127.0.0.1:${box.port}/`, { headers: { host: `${name}.test` } })
      const answer = new Promise<string>((resolve, reject) => {
        socket.on('error', reject)
        socket.on('message', (data) => resolve(String(data)))
        socket.on('open', () => socket.send('who?'))
      })
      return answer.finally(() => socket.terminate())
    }),
  )

  assert.deepEqual(
    answers,
    TWENTY.slice(0, 5).map((name) => `${name} ${name}`),
  )
})

test('TypeScript, CommonJS with its main guard, and ES modules are loaded as they are', async (t) => {
  const box = await startBox(t, {
    ts: { files: { 'app.ts': 'const text: string = "typed"\nexport default (): Response => new Response(text)' } },
    guard: {
      files: {
        'app.cjs': `const server = require('http').createServer((req, res) => res.end('guarded ' + process.argv[1].split('/').pop()))
          if (require.main === module) server.listen(3000)`,
      },
    },
    ports: {
      files: {
        'app.mjs': `import { createServer } from 'node:http'
          createServer((req, res) => res.end('metrics')).listen(9000)
          createServer((req, res) => res.end('site')).listen(9001)`,
      },
      ini: '[site]\ndomains = ports.test\nroot = ../sites/ports\nmodule = app.mjs\nhttp_port = 9001\n',
    },
  })

  assert.equal((await box.ask('ts')).text, 'typed')
  assert.equal((await box.ask('guard')).text, 'guarded app.cjs')
  assert.equal((await box.ask('ports')).text, 'site')
})

test('a static site is served by the dispatcher, with types, index and without dot files', async (t) => {
  const box = await startBox(t, {
    pages: {
      files: { 'index.html': '<h1>home</h1>', 'style.css': 'a{}', 'sub/index.html': 'sub', '.env': 'SECRET=1' },
      ini: '[site]\ndomains = pages.test\nroot = ../sites/pages\n',
    },
  })

  const home = await box.ask('pages')
  const css = await box.ask('pages', '/style.css')
  const folder = await box.ask('pages', '/sub')
  const secret = await box.ask('pages', '/.env')
  const above = await box.ask('pages', '/../../vhostel.ini')
  const post = await box.ask('pages', '/', { method: 'POST', body: 'x' })

  assert.equal(home.text, '<h1>home</h1>')
  assert.match(home.headers['content-type'] ?? '', /^text\/html; charset=utf-8$/i)
  assert.match(css.headers['content-type'] ?? '', /^text\/css/)
  assert.deepEqual([folder.status, folder.headers.location], [301, '/sub/'])
  assert.deepEqual([secret.status, above.status, post.status], [404, 404, 405])
  assert.equal((await box.site('pages'))?.state, 'live')
})

test('what native code opens by a relative path is no file that sites share', async (t) => {
  const text = `
    import { execFileSync } from 'node:child_process'
    import { readlinkSync } from 'node:fs'
    export default (req, res) => {
      // Where the process is for those who do not ask Node.
      const folder = readlinkSync('/proc/self/cwd')
      let made = 'made'
      try { execFileSync('touch', ['vhostel-made-by-native-code'], { cwd: folder, stdio: 'pipe' }) } catch { made = 'refused' }
      res.end(made)
    }`
  const box = await startBox(t, { one: { files: { 'app.mjs': text } } }, ONE_THREAD)

  assert.equal((await box.ask('one', '/')).text, 'refused')
})

test('a request that comes while the process of its site ends, because nobody used it, gets another process', async (t) => {
  const code = 'export default (request, response) => response.end(String(process.pid))'
  const more = 'isolation = process\nidle = 300ms'
  const box = await startBox(t, { own: { files: { 'app.mjs': code }, more } })
  const pid = Number((await box.ask('own')).text)
  // It takes its time.
  process.kill(pid, 'SIGSTOP')
  const isEnding = (): boolean => box.output.includes('process of a site that nobody uses ends')
  await box.waitFor('the end to begin', isEnding)
  const [late, report] = await Promise.all([box.ask('own'), box.reload('own')])
  assert.equal(late.status, 200)
  assert.notEqual(Number(late.text), pid)
  assert.deepEqual(
    report.sites.map(({ problems }) => problems),
    [[]],
  )
})

test('a site with a process of its own that is disabled and enabled again does not wait for what it had begun', async (t) => {
  const code = `export default (request, response) => {
    if (request.url === '/open') response.write('open')
    else response.end(String(process.pid))
  }`
  const box = await startBox(t, { own: { files: { 'app.mjs': code }, more: 'isolation = process' } })
  const { text: pid } = await box.ask('own')
  const open = request({ host: '127.0.0.1', port: box.port, path: '/open', headers: { host: 'own.test' } })
  open.on('error', () => {}).end()
  const [answer] = (await once(open, 'response')) as [IncomingMessage]
  answer.on('error', () => {})

  const link = join(box.dir, 'sites-enabled/own.ini')
  rmSync(link)
  await box.waitFor('the site to be gone', async () => (await box.ask('own')).status === 421)
  symlinkSync('../sites-available/own.ini', link)
  await box.waitFor('the site to be back', async () => (await box.ask('own')).status === 200)
  assert.notEqual((await box.ask('own')).text, pid)
  assert.equal(answer.destroyed, false)
  open.destroy()
})

test('a site that has a process of its own by its settings is never quarantined', async (t) => {
  const code = `export default (req, res) => {
    const until = performance.now() + 250
    while (performance.now() < until);
    res.end('burnt')
  }`
  const box = await startBox(t, { own: { files: { 'app.mjs': code }, more: 'isolation = process' } })

  for (let turn = 0; turn < 6; turn++) assert.equal((await box.ask('own')).text, 'burnt')

  const { state, residency } = (await box.site('own')) ?? {}
  assert.deepEqual([state, residency?.quarantinedSince], ['live', undefined])
  assert.doesNotMatch(box.output, /quarantined|did harm/)
})
