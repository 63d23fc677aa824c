/**
 * What the native code of well-known packages is given: paths from the folder of the site, callbacks in its context. Here
 * classes of this file stand for that code, as it is seen by `require`: no compiler is needed.
 */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { installSiteNatives } from '../../src/worker/site-natives.ts'

type Addon = Record<string, unknown>
type Callback = (this: unknown, value: string) => void

const FOLDER = '/srv/site'
const loaded = new Map<string, Addon>()
process.dlopen = (module, file) => {
  Object.assign((module as { exports: Addon }).exports, loaded.get(file))
}
installSiteNatives(() => FOLDER)

/** What `require` gives for the file of an add-on. */
function load(file: string, addon: Addon): Addon {
  loaded.set(file, addon)
  const module = { exports: {} as Addon }
  process.dlopen(module, file)
  return module.exports
}

class Database {
  readonly args: unknown[]
  readonly backups: unknown[][] = []
  constructor(...args: unknown[]) {
    this.args = args
  }
  /** As native classes have them: asked of the prototype it throws. */
  get open(): boolean {
    return this.args.length > 0
  }
  backup(...args: unknown[]): void {
    this.backups.push(args)
  }
  run(callback: Callback): void {
    queue.push(() => callback.call(this, 'ran'))
  }
}

/** Work that goes on outside of every context, as that of native code does. */
const queue: (() => void)[] = []

const PATHS: [given: string, seen: string][] = [
  ['data.db', '/srv/site/data.db'],
  ['./sub/../data.db', '/srv/site/data.db'],
  ['/var/data.db', '/var/data.db'],
  [':memory:', ':memory:'],
  ['', ''],
  ['file:data.db?mode=ro', 'file:/srv/site/data.db?mode=ro'],
  ['file:/data.db', 'file:/data.db'],
  ['file:///data.db', 'file:///data.db'],
  ['file::memory:?cache=shared', 'file::memory:?cache=shared'],
]

for (const file of [
  '/app/node_modules/better-sqlite3/build/Release/better_sqlite3.node',
  '/app/node_modules/.pnpm/better-sqlite3@13.2.0/node_modules/better-sqlite3/prebuilds/linux-x64.node',
  '/app/node_modules/sqlite3/build/Release/node_sqlite3.node',
]) {
  test(`databases are opened in the folder of the site: ${file}`, () => {
    class Own extends Database {}
    const addon = load(file, { Database: Own })
    const Opened = addon.Database as typeof Database

    for (const [given, seen] of PATHS) {
      const database = new Opened(given, 7)
      assert.deepEqual(database.args, [seen, 7])
      assert.ok(database instanceof Opened && database instanceof Own)
    }
  })
}

test('what a database is copied to is in the folder of the site', () => {
  class Own extends Database {}
  Own.prototype.backup = Database.prototype.backup
  const addon = load('/app/node_modules/better-sqlite3/x.node', { Database: Own })
  const database = new (addon.Database as typeof Database)('data.db')

  database.backup(database, 'main', 'copy.db', true)

  assert.deepEqual(database.backups[0]?.slice(1), ['main', '/srv/site/copy.db', true])
})

test('callbacks come back in the context of their caller, with what they are called on', () => {
  class Own {
    run(callback: Callback): void {
      queue.push(() => callback.call(this, 'ran'))
    }
  }
  const { Statement } = load('/app/node_modules/sqlite3/x.node', { Statement: Own }) as { Statement: typeof Own }
  const { hash } = load('/app/node_modules/bcrypt/x.node', {
    hash: (callback: Callback) => queue.push(() => callback('hashed')),
  }) as { hash: (callback: Callback) => void }
  const storage = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const statement = new Statement()

  storage.run('site', () => {
    statement.run(function (value) {
      seen.push([value, storage.getStore(), this === statement])
    })
    hash((value) => seen.push([value, storage.getStore()]))
  })
  for (const work of queue.splice(0)) work()

  assert.deepEqual(seen, [
    ['ran', 'site', true],
    ['hashed', 'site'],
  ])
})

test('images are read and written in the folder of the site', () => {
  const seen: unknown[] = []
  const take = (options: unknown): void => void seen.push(options)
  const addon = load('/app/node_modules/@img/sharp-linux-x64/lib/sharp-linux-x64.node', {
    pipeline: take,
    metadata: take,
  })
  const { pipeline, metadata } = addon as Record<string, (options: unknown) => void>

  pipeline?.({
    input: { file: 'in.png' },
    composite: [{ input: { file: 'over.png' } }, null],
    joinChannelIn: [],
    fileOut: 'out.png',
  })
  metadata?.({ input: { buffer: Buffer.alloc(0), file: '' }, fileOut: '' })

  const composite = [{ input: { file: '/srv/site/over.png' } }, null]
  assert.deepEqual(seen, [
    { input: { file: '/srv/site/in.png' }, composite, joinChannelIn: [], fileOut: '/srv/site/out.png' },
    { input: { buffer: Buffer.alloc(0), file: '' }, fileOut: '' },
  ])
})

test('libsql opens its files in the folder of the site', () => {
  const { databaseOpen, databaseOpenWithSync } = load('/app/node_modules/@libsql/linux-x64-gnu/index.node', {
    databaseOpen: (...args: unknown[]) => args,
    databaseOpenWithSync: (...args: unknown[]) => args,
  }) as Record<string, (...args: unknown[]) => unknown[]>

  assert.deepEqual(databaseOpen?.('local.db', 'token'), ['/srv/site/local.db', 'token'])
  assert.deepEqual(databaseOpen?.(':memory:'), [':memory:'])
  assert.deepEqual(databaseOpenWithSync?.('replica.db', 'libsql://host'), ['/srv/site/replica.db', 'libsql://host'])
})

test('a canvas finds images and fonts in the folder of the site', () => {
  class Image {
    #from: unknown
    get src(): unknown {
      return this.#from
    }
    set src(from: unknown) {
      this.#from = from
    }
  }
  const addon = load('/app/node_modules/@napi-rs/canvas-linux-x64-gnu/skia.linux-x64-gnu.node', {
    Image,
    GlobalFonts: { registerFromPath: (...args: unknown[]) => args, loadFontsFromDir: (...args: unknown[]) => args },
  }) as unknown as { Image: typeof Image; GlobalFonts: Record<string, (...args: unknown[]) => unknown[]> }
  const bytes = Buffer.from('image')

  const sources = ['logo.png', '/srv/logo.png', 'data:image/png;base64,AA==', bytes].map((source) => {
    const image = new addon.Image()
    image.src = source
    return image.src
  })

  assert.deepEqual(sources, ['/srv/site/logo.png', '/srv/logo.png', 'data:image/png;base64,AA==', bytes])
  assert.deepEqual(addon.GlobalFonts.registerFromPath?.('a.ttf', 'A'), ['/srv/site/a.ttf', 'A'])
  assert.deepEqual(addon.GlobalFonts.loadFontsFromDir?.('fonts'), ['/srv/site/fonts'])
})

test('key-value stores are opened in the folder of the site', () => {
  class Env {
    open(...args: unknown[]): unknown[] {
      return args
    }
  }
  Object.freeze(Env.prototype)
  const lmdb = load('/app/node_modules/@lmdb/lmdb-linux-x64/node.napi.glibc.node', { Env }) as { Env: typeof Env }
  const give = (...args: unknown[]): unknown[] => args
  const level = load('/app/node_modules/classic-level/prebuilds/linux-x64/classic-level.node', {
    db_open: give,
    destroy_db: give,
  }) as Record<string, typeof give>

  assert.deepEqual(new lmdb.Env().open({ path: 'data', maxDbs: 2 }, 1), [{ path: '/srv/site/data', maxDbs: 2 }, 1])
  assert.deepEqual(level.db_open?.('context', 'data', {}), ['context', '/srv/site/data', {}])
  assert.deepEqual(level.destroy_db?.('data'), ['/srv/site/data'])
})

test('an add-on that is not known is left alone', () => {
  const hash = (): void => {}
  assert.equal(load('/app/node_modules/argon2/x.node', { hash }).hash, hash)
})

test('what a known add-on does not let be changed stays as it is', () => {
  const addon = Object.freeze({ databaseOpen: (name: string): string => name })
  process.dlopen = ((module: { exports: unknown }) => {
    module.exports = addon
  }) as unknown as typeof process.dlopen
  installSiteNatives(() => FOLDER)
  const module = { exports: {} as typeof addon }

  process.dlopen(module, '/app/node_modules/@libsql/linux-x64-gnu/index.node')

  assert.equal(module.exports.databaseOpen('data.db'), 'data.db')
})
