import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'
import { makeConfig, vhostel } from './command.ts'
import { LOOP, loopUntil } from './looping-site.ts'

const HELLO = { files: { 'app.mjs': "export default () => new Response('hello')" } }
const POOL = { config: '[pool]\nprocesses = 1\nthreads = 2\n' }

/** A box in which the site `shop` keeps a thread, and is quarantined for it, until the test ends. */
async function startLooping(t: TestContext, sites: Record<string, SiteFixture> = {}): Promise<Box> {
  const box = await startBox(t, { ...sites, shop: LOOP }, POOL)
  const isQuarantined = async (): Promise<boolean> => (await box.site('shop'))?.state === 'quarantined'
  await loopUntil(box, 'shop', 'the site to be quarantined', isQuarantined)
  return box
}

test('of a healthy server it says what runs, the pool, and that all is well', async (t) => {
  const pages: SiteFixture = {
    ini: '[site]\ndomains = pages.test\nkind = static\nroot = ../sites/pages\n',
    files: { 'index.html': 'hello' },
  }
  const box = await startBox(t, { calm: HELLO, idle: HELLO, pages }, POOL)
  await box.ask('calm')

  const { code, stdout, stderr } = await vhostel(['status', '--config', box.dir])

  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout)
  assert.match(
    stdout,
    new RegExp(`^vhostel \\S+, pid ${box.pid}, runs since (\\S+ )?\\d\\d:\\d\\d:\\d\\d \\(for .*\\)   ${box.dir}/`),
  )
  assert.match(stdout, new RegExp(`^listens on http://127\\.0\\.0\\.1:${box.port}$`, 'm'))
  assert.match(
    stdout,
    /^pool default: 2 threads ready\n {2}process \d+.*\n {4}thread \d+ {2}ready +\d+ in flight +\d+ requests? +\d sites?/m,
  )
  assert.match(stdout, /^All is well: 3 sites \(2 live, 1 idle\)\.\n$/m)
})

test('a site that loops is told first: why, since when, what was done, and when it comes back', async (t) => {
  const box = await startLooping(t, { calm: HELLO, bad: { ini: '[site]\ndomain = bad.test\n' } })

  const { code, stdout, stderr } = await vhostel(['status', '--config', box.dir])

  assert.deepEqual({ code, stderr }, { code: 1, stderr: '' }, stdout)
  assert.match(
    stdout,
    /^1 site is quarantined:\n {2}shop: quarantined, in a process of its own\n {4}since +\S.* \(for .*\)\n/m,
  )
  assert.match(stdout, /^ {4}why +\S.* blocked: kept its thread for \d+ ms$/m)
  assert.match(
    stdout,
    /^ {4}done +(it is alone in a process of its own \(pid \d+\)|a process of its own is being started for it)$/m,
  )
  assert.match(stdout, /^ {4}back +among the others at .* \(in (10|9) min\), if it behaves until then$/m)
  assert.match(stdout, /^ {4}thread \d+ +\w+ .* late for .*, blocked by shop$/m)
  assert.match(stdout, /^1 site is wrong:\n {2}bad: refused\n {4}sites-enabled\/bad\.ini:1: /m)
  assert.ok(stdout.indexOf('quarantined:') < stdout.indexOf('1 site is wrong:'))
  assert.match(stdout, /^All else is well: 1 site \(1 (idle|live)\)\.\n$/m)
})

test('of one site it says everything: state, links, threads, requests, and all that is held against it', async (t) => {
  const box = await startLooping(t, { calm: HELLO })
  await box.ask('calm')

  const shop = await vhostel(['status', 'shop', '--config', box.dir])
  const calm = await vhostel(['status', 'sites-available/calm.ini', '--config', box.dir])

  assert.deepEqual([shop.code, calm.code], [1, 0])
  assert.match(
    shop.stdout,
    /^shop: quarantined, in a process of its own\n {4}since .*\n {4}why .* blocked: kept its thread/,
  )
  assert.match(shop.stdout, /^lives in +process of shop$/m)
  assert.match(shop.stdout, /^threads +\d+ of process \d+: \w+, .* late for .*, blocked by shop$/m)
  assert.match(calm.stdout, /^calm: live\n\n/)
  assert.match(calm.stdout, new RegExp(`^urls +http://calm\\.test:${box.port}/$`, 'm'))
  assert.match(calm.stdout, /^kind +module \(fetch\), generation \d+$/m)
  assert.match(calm.stdout, /^requests +1 since the start, 0 in flight, 0 waiting$/m)
  assert.match(calm.stdout, /^lives in +pool default\nthreads +\d+ of process \d+: ready, 0 in flight, 1 site/m)
})

test('list and --json show that a site is quarantined', async (t) => {
  const box = await startLooping(t, { calm: HELLO })

  const list = await vhostel(['list', '--config', box.dir])
  const all = await vhostel(['status', '--json', '--config', box.dir])
  const one = await vhostel(['status', 'shop', '--json', '--config', box.dir])

  assert.match(list.stdout, /^shop +module .* quarantined, in a process of its own\n {4}kept its thread for \d+ ms$/m)
  const server = JSON.parse(all.stdout)
  assert.deepEqual({ code: all.code, running: server.running, ok: server.ok }, { code: 1, running: true, ok: false })
  assert.equal(server.sites.find((site: { name: string }) => site.name === 'shop').state, 'quarantined')
  const { ok, site, threads } = JSON.parse(one.stdout)
  assert.deepEqual({ code: one.code, ok, group: site.residency.group }, { code: 1, ok: false, group: 'site:shop' })
  assert.equal(site.residency.offences[0].kind, 'blocked')
  assert.ok(threads.some((thread: { keptBy?: string }) => thread.keptBy === 'shop'))
})

test('a name that no site has is refused with the one that was meant', async (t) => {
  const box = await startBox(t, { blog: HELLO }, POOL)

  const { code, stdout, stderr } = await vhostel(['status', 'bolg', '--config', box.dir])

  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' })
  assert.equal(stderr, "vhostel: there is no site 'bolg' in the sites folder; did you mean blog?\n")
})

test('with no server running the exit code is 3, as that of systemctl status, and the JSON says so', async (t) => {
  const dir = makeConfig(t, {})

  const text = await vhostel(['status', '--config', dir])
  const json = await vhostel(['status', 'blog', '--json', '--config', dir])

  assert.deepEqual([text.code, json.code, text.stdout], [3, 3, ''])
  assert.equal(
    text.stderr,
    `vhostel: no server is running (nobody answers in ${dir}/run); start one with 'vhostel serve'\n`,
  )
  assert.deepEqual(JSON.parse(json.stdout), { running: false, ok: false, configFile: `${dir}/vhostel.ini` })
})
