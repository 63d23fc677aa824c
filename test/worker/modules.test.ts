/**
 * Module graphs in one thread: packages in two versions, sites and generations over the same files, files that are read.
 */
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread
let generation = 0

shareThread((it) => {
  thread = it
})

async function load(module: string, env: Record<string, string> = {}): Promise<number> {
  await thread.loadWell({ generation: ++generation, module, env })
  return generation
}

for (const kind of ['mjs', 'cjs'] as const) {
  test(`two sites have two versions of one package (${kind})`, async (t) => {
    const use =
      kind === 'mjs' ? "import dep from 'dep'\nexport default" : "const dep = require('dep')\nmodule.exports ="
    const files = (version: string) => ({
      [`main.${kind}`]: `${use} (req, res) => res.end(dep.version)`,
      'node_modules/dep/package.json': JSON.stringify({ name: 'dep', version }),
      'node_modules/dep/index.js': `module.exports = { version: ${JSON.stringify(version)} }`,
    })
    const one = await load(join(writeSite(t, files('1.0.0')), `main.${kind}`))
    const two = await load(join(writeSite(t, files('2.0.0')), `main.${kind}`))

    assert.equal((await thread.get(one)).text, '1.0.0')
    assert.equal((await thread.get(two)).text, '2.0.0')
  })

  test(`two sites over the same files have each their own instances (${kind})`, async (t) => {
    const [take, give] =
      kind === 'mjs'
        ? ["import { name, count } from './lib.mjs'\nexport default", 'export']
        : ["const { name, count } = require('./lib.cjs')\nmodule.exports =", '']
    const lib = `let n = 0; ${give} const name = process.env.NAME; ${give} const count = () => ++n;${kind === 'cjs' ? 'module.exports = { name, count }' : ''}`
    const folder = writeSite(t, {
      [`main.${kind}`]: `${take} (req, res) => res.end(name + count())`,
      [`lib.${kind}`]: lib,
    })
    const main = join(folder, `main.${kind}`)
    const one = await load(main, { NAME: 'one' })
    const two = await load(main, { NAME: 'two' })

    const texts = [await thread.get(one), await thread.get(one), await thread.get(two)].map(({ text }) => text)

    assert.deepEqual(texts, ['one1', 'one2', 'two1'])
  })

  test(`a new generation runs the files as they are now (${kind})`, async (t) => {
    const give = kind === 'mjs' ? 'export default' : 'module.exports ='
    const folder = writeSite(t, { [`main.${kind}`]: `${give} (req, res) => res.end('first')` })
    const main = join(folder, `main.${kind}`)
    const first = await load(main)
    writeFileSync(main, `${give} (req, res) => res.end('second')`)

    const second = await load(main)

    assert.equal((await thread.get(first)).text, 'first')
    assert.equal((await thread.get(second)).text, 'second')
  })
}

/** A handler that answers with what this expression gives, and a module that remembers for whom it was made. */
const HANDLES = 'module.exports = async (req, res) => res.end(JSON.stringify'
const REMEMBERS = 'exports.name = process.env.NAME'

test('what sites over the same files require or import late is their own', async (t) => {
  const folder = writeSite(t, {
    'main.cjs': `${HANDLES}([require('./late.cjs').name, (await import('./late.mjs')).name]))`,
    'late.cjs': REMEMBERS,
    'late.mjs': 'export const name = process.env.NAME',
  })
  const one = await load(join(folder, 'main.cjs'), { NAME: 'one' })
  const two = await load(join(folder, 'main.cjs'), { NAME: 'two' })

  const replies = [await thread.get(one), await thread.get(two), await thread.get(one)]

  assert.deepEqual(
    replies.map(({ json }) => json),
    [
      ['one', 'one'],
      ['two', 'two'],
      ['one', 'one'],
    ],
  )
})

test('packages in the folder of two sites are those of each, and one for the generations of a site', async (t) => {
  const counts = 'let n = 0; module.exports = () => ++n'
  const folder = writeSite(t, {
    'main.cjs': `const dep = require('dep'); ${HANDLES}([dep(), (await import('esm')).default()]))`,
    'node_modules/dep/index.js': counts,
    'node_modules/esm/index.mjs': 'let n = 0; export default () => ++n',
    'node_modules/esm/package.json': '{"exports":"./index.mjs"}',
  })
  const module = join(folder, 'main.cjs')
  const [one, two, three] = [++generation, ++generation, ++generation]
  await thread.loadWell({ generation: one, site: 'shop', module })
  await thread.loadWell({ generation: two, site: 'shop', module })
  await thread.loadWell({ generation: three, site: 'blog', module })

  const replies = [await thread.get(one), await thread.get(two), await thread.get(three)]

  assert.deepEqual(
    replies.map(({ json }) => json),
    [
      [1, 1],
      [2, 2],
      [1, 1],
    ],
  )
})

test('a package that passes on what it requires is whole in a second site', async (t) => {
  const folder = writeSite(t, {
    'main.mjs':
      "import dep from 'dep'\nimport own from './own.cjs'\nexport default (req, res) => res.end(dep('x') + own('y'))",
    'own.cjs': "module.exports = require('./inner.cjs')",
    'inner.cjs': "exports.mark = 1; module.exports = require('./core.cjs')(exports)",
    'core.cjs': 'module.exports = ({ mark }) => (text) => text + mark',
    'node_modules/dep/package.json': '{"main":"./src/index.js"}',
    'node_modules/dep/src/index.js': "module.exports = require('./node.js')",
    'node_modules/dep/src/node.js': "exports.mark = 1; module.exports = require('./common')(exports)",
    'node_modules/dep/src/common.js': 'module.exports = ({ mark }) => (text) => text + mark',
  })
  const main = join(folder, 'main.mjs')
  const sites = [await load(main), await load(main), await load(main)]

  const texts = sites.map(async (of) => (await thread.get(of)).text)

  assert.deepEqual(await Promise.all(texts), ['x1y1', 'x1y1', 'x1y1'])
})

test('packages in a folder above two sites are one for both', async (t) => {
  const folder = writeSite(t, {
    'one/main.cjs': `${HANDLES}([require('dep').name]))`,
    'two/main.cjs': `${HANDLES}([require('dep').name]))`,
    'node_modules/dep/index.js': REMEMBERS,
  })
  const one = await load(join(folder, 'one/main.cjs'), { NAME: 'one' })
  const two = await load(join(folder, 'two/main.cjs'), { NAME: 'two' })

  assert.deepEqual([(await thread.get(one)).json, (await thread.get(two)).json], [['one'], ['one']])
})

for (const kind of ['mjs', 'cjs'] as const) {
  test(`a site is told that it shares the state of a package with another one, once (${kind})`, async (t) => {
    const take = kind === 'mjs' ? "import 'passport'\nexport default" : "require('passport')\nmodule.exports ="
    const main = `${take} (req, res) => res.end()`
    const folder = writeSite(t, {
      [`one/main.${kind}`]: main,
      [`two/main.${kind}`]: main,
      [`own/main.${kind}`]: main,
      'own/node_modules/passport/index.js': '',
      'node_modules/passport/index.js': '',
    })
    const at = (site: string) => join(folder, site, `main.${kind}`)
    const one = await load(at('one'))
    const own = await load(at('own'))
    const two = await load(at('two'))

    const { level, text } = await thread.log(two, /shares passport/)

    assert.equal(level, 'warn')
    assert.match(
      text,
      new RegExp(`^shares passport with site 'site${one}' \\(${folder}/node_modules/passport/index.js\\)`),
    )
    assert.equal(thread.logs.filter((line) => [one, own, two].includes(line.generation)).length, 1)
  })
}

for (const kind of ['mjs', 'cjs'] as const) {
  test(`the packages of a workspace are each site's own files (${kind})`, async (t) => {
    const main =
      kind === 'mjs'
        ? "import { name } from '@acme/lib'\nexport default (req, res) => res.end(name)"
        : "const { name } = require('@acme/lib')\nmodule.exports = (req, res) => res.end(name)"
    const folder = writeSite(t, {
      [`apps/one/main.${kind}`]: main,
      [`apps/two/main.${kind}`]: main,
      [`packages/lib/index.${kind}`]: kind === 'mjs' ? 'export const name = process.env.NAME' : REMEMBERS,
      'packages/lib/package.json': JSON.stringify({ name: '@acme/lib', exports: `./index.${kind}` }),
    })
    const file = join(folder, `packages/lib/index.${kind}`)
    for (const name of ['one', 'two']) {
      mkdirSync(join(folder, 'apps', name, 'node_modules/@acme'), { recursive: true })
      symlinkSync('../../../../packages/lib', join(folder, 'apps', name, 'node_modules/@acme/lib'))
      const module = join(folder, 'apps', name, `main.${kind}`)

      const { files } = await thread.loadWell({ generation: ++generation, module, env: { NAME: name } })

      assert.equal((await thread.get(generation)).text, name)
      assert.deepEqual([...files].sort(), [module, file])
    }
  })
}

test('a module of a second site finds itself by its URL', async (t) => {
  const text = `import { pathToFileURL } from 'node:url'
export default (req, res) => res.end(String(import.meta.url === pathToFileURL(process.argv[1]).href))`
  const main = join(writeSite(t, { 'main.mjs': text }), 'main.mjs')

  const texts = [await load(main), await load(main)].map(async (of) => (await thread.get(of)).text)

  assert.deepEqual(await Promise.all(texts), ['true', 'true'])
})

test('an unmodified server listens again in a second generation', async (t) => {
  const folder = writeSite(t, {
    'package.json': '{"type":"module"}',
    'main.ts':
      "import { createServer } from 'node:http'\nimport { text } from './lib.ts'\ncreateServer((_req, res) => res.end(text as string)).listen(3000)\n",
    'lib.ts': "export const text: string = 'generation of ' + process.env.NAME\n",
  })
  const one = await load(join(folder, 'main.ts'), { NAME: 'one' })
  const two = await load(join(folder, 'main.ts'), { NAME: 'two' })

  assert.equal((await thread.get(one)).text, 'generation of one')
  assert.equal((await thread.get(two)).text, 'generation of two')
})

test('marks of generations are in no stack that a site logs', async (t) => {
  const folder = writeSite(t, { 'main.mjs': 'export default () => { throw new Error(import.meta.url) }' })
  await load(join(folder, 'main.mjs'))
  const of = await load(join(folder, 'main.mjs'))

  await thread.get(of)

  const line = await thread.log(of, /main\.mjs/)
  assert.doesNotMatch(line.text, /vhostel=/)
})

test('the files of a site are told: its own, and not those of packages', async (t) => {
  const folder = writeSite(t, {
    'main.mjs':
      "import './lib/a.mjs'\nimport './b.cjs'\nimport data from './data.json' with { type: 'json' }\nimport 'dep'\nexport default (req, res) => res.end()",
    'lib/a.mjs': '',
    'b.cjs': "require('./c.cjs')",
    'c.cjs': '',
    'data.json': '{}',
    'unused.mjs': '',
    'node_modules/dep/index.js': '',
    'node_modules/dep/package.json': '{"name":"dep"}',
  })

  const { files } = await thread.loadWell({ generation: ++generation, module: join(folder, 'main.mjs') })

  const expected = ['b.cjs', 'c.cjs', 'data.json', 'lib/a.mjs', 'main.mjs']
  assert.deepEqual(
    [...files].sort(),
    expected.map((name) => join(folder, name)),
  )
})

test('files that are read later are told as they are', async (t) => {
  const folder = writeSite(t, {
    'main.cjs':
      "module.exports = async (req, res) => { require('./late.cjs'); await import('./later.mjs'); res.end() }",
    'late.cjs': '',
    'later.mjs': '',
  })
  const of = await load(join(folder, 'main.cjs'))

  await thread.get(of)

  await thread.wait(() => thread.laterFiles.get(of)?.length === 2, 'two later files')
  assert.deepEqual(thread.laterFiles.get(of), [join(folder, 'late.cjs'), join(folder, 'later.mjs')])
})

test('sites that load at once keep apart', async (t) => {
  const text = `
    const look = () => process.env.NAME + ' ' + process.cwd()
    const before = look()
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 10))
    await import('./lib.mjs')
    const after = look()
    export default (req, res) => res.end(JSON.stringify({ before, after, now: look() }))`
  const sites = Array.from({ length: 12 }, () => ({
    generation: ++generation,
    root: writeSite(t, { 'main.mjs': text, 'lib.mjs': '' }),
  }))

  const reports = await Promise.all(
    sites.map(({ generation: of, root }) =>
      thread.loadWell({ generation: of, module: join(root, 'main.mjs'), env: { NAME: String(of) } }),
    ),
  )

  for (const [n, { generation: of, root }] of sites.entries()) {
    const own = `${of} ${root}`
    assert.deepEqual((await thread.get(of)).json, { before: own, after: own, now: own })
    assert.deepEqual([...(reports[n]?.files ?? [])].sort(), [join(root, 'lib.mjs'), join(root, 'main.mjs')])
  }
})

const MAIN = `const main = import.meta.main
export default (req, res) => {
  if (req.url === '/error') throw new Error('of one line')
  res.end(JSON.stringify([main, lib, import.meta.filename !== undefined]))
}
`
const mains: [string, string, string][] = [
  ['main.mjs', 'lib.mjs', `import { lib } from './lib.mjs'; ${MAIN}`],
  ['main.js', 'lib.mjs', `import { lib } from './lib.mjs'; ${MAIN}`],
  ['main.mjs', 'lib.mjs', `#!/usr/bin/env node\nimport { lib } from './lib.mjs'; ${MAIN}`],
  ['main.mjs', 'lib.mjs', `\u{feff}import { lib } from './lib.mjs'; ${MAIN}`],
  ['main.mts', 'lib.mts', `import { lib } from './lib.mts'; const typed: boolean = true; ${MAIN}`],
]

for (const [index, [main, lib, text]] of mains.entries()) {
  test(`import.meta.main is true in a site's entry and false in its modules, and lines stay (${index + 1}: ${main})`, async (t) => {
    const folder = writeSite(t, { [main]: text, [lib]: 'export const lib = import.meta.main' })
    for (let times = 0; times < 2; times++) {
      const of = await load(join(folder, main))

      assert.deepEqual((await thread.get(of)).json, [true, false, true])

      await thread.get(of, '/error')
      const line = await thread.log(of, /of one line/)
      assert.match(line.text, new RegExp(`${main.replace('.', '\\.')}.*:${text.startsWith('#!') ? 4 : 3}:`))
    }
  })
}

test('module hooks of a site see its own modules alone', async (t) => {
  const folder = writeSite(t, {
    'hooks.mjs': `import { registerHooks } from 'node:module'
      registerHooks({
        resolve: (name, context, next) => name === 'virtual' ? { url: 'file:///virtual.mjs', shortCircuit: true } : next(name, context),
        load: (url, context, next) => url === 'file:///virtual.mjs' ? { format: 'module', source: 'export default "hooked"', shortCircuit: true } : next(url, context),
      })
      export default async (req, res) => res.end((await import('virtual')).default)`,
    'other.mjs':
      "export default async (req, res) => res.end(await import('virtual').then(() => 'hooked', (error) => error.code))",
  })
  const hooked = await load(join(folder, 'hooks.mjs'))
  const other = await load(join(folder, 'other.mjs'))

  assert.equal((await thread.get(hooked)).text, 'hooked')
  assert.equal((await thread.get(other)).text, 'ERR_MODULE_NOT_FOUND')
})

test('a site that registers module hooks for all sites of the thread is told of', async (t) => {
  const folder = writeSite(t, {
    'main.mjs': `import { register } from 'node:module'
      register('data:text/javascript,export const resolve = (name, context, next) => next(name, context)')
      export default (req, res) => res.end('ok')`,
  })
  const of = await load(join(folder, 'main.mjs'))

  await thread.wait(
    () => thread.offences.some((one) => one.generation === of && /module\.register/.test(one.text)),
    'an offence',
  )
  assert.equal((await thread.get(of)).text, 'ok')
})
