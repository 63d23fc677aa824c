import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { loadAll } from '../../src/config/load-all.ts'
import { loadServer } from '../../src/config/load-server.ts'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import type { ConfigFolder } from './config-folder.ts'
import { configFolder, siteText } from './config-folder.ts'

function serverProblems(folder: ConfigFolder): string[] {
  return loadServer(folder.path('vhostel.ini')).problems.map((problem) => renderProblem(problem, folder.dir))
}

function siteProblems(folder: ConfigFolder): string[] {
  const { problems } = loadSite(folder.path('sites-enabled/blog.ini'), folder.server(), {})
  return problems.map((problem) => renderProblem(problem, folder.dir))
}

test('each [pool NAME] is a pool with keys of its own, after the default one', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': `[pool]
processes = 2..4
memory = 4GB

[pool shop]
threads = 2..8
thread_memory = 256MB

[ pool   slow ]
max_requests = 1000
max_age = 1h
process_memory = 1GB
`,
  })

  const { pools } = folder.server()

  assert.deepEqual(
    pools.map(({ name, processes, threads }) => [name, processes, threads]),
    [
      ['default', { min: 2, max: 4 }, 'auto'],
      ['shop', { min: 1, max: 1 }, { min: 2, max: 8 }],
      ['slow', { min: 1, max: 1 }, { min: 1, max: 2 }],
    ],
  )
  assert.equal(pools[0].memoryBytes, 4 * 1024 ** 3)
  assert.equal(pools[1]?.threadMemoryBytes, 256 * 1024 ** 2)
  assert.deepEqual([pools[2]?.maxRequests, pools[2]?.maxAgeMs], [1000, 3_600_000])
})

test('every problem of every pool is told with its line and its name', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': `[pool shop]
thread = 2
threads = 4..2
concurrency = 5
[pool default]
[pool Big]
[pool shop]
[pool group]
group = root
`,
  })

  assert.deepEqual(serverProblems(folder), [
    'vhostel.ini:2: [pool shop] thread: the key is not known; did you mean threads?',
    'vhostel.ini:3: [pool shop] threads: "4..2" begins above its end: write 2..4',
    'vhostel.ini:4: [pool shop] concurrency: the key is not known here; it belongs in [pool]',
    'vhostel.ini:5: [pool default]: "default" is the name of [pool] itself: write [pool]',
    'vhostel.ini:6: [pool Big]: "Big" cannot be the name of a pool: lower-case letters, digits, "-" and "_", beginning with a letter, 32 at most',
    'vhostel.ini:7: [pool shop]: the section already began on line 1: put all its keys in one place',
    'vhostel.ini:9: [pool group] group: has no use without user: name the user too, or take the line away',
  ])
})

test('a user that the system does not have is told, with what may be meant', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[pool]\nuser = nobodi\n[pool shop]\nuser = nobody\ngroup = rooot\n',
  })

  assert.deepEqual(serverProblems(folder), [
    'vhostel.ini:2: [pool] user: there is no user "nobodi" in /etc/passwd; did you mean nobody?',
    'vhostel.ini:5: [pool shop] group: there is no group "rooot" in /etc/group; did you mean root?',
  ])
})

test('whom a pool runs as is known by number', { skip: process.getuid?.() !== 0 && 'needs root' }, (t) => {
  const folder = configFolder(t, { 'vhostel.ini': '[pool]\nuser = daemon\n[pool shop]\nuser = 12345\ngroup = 54321\n' })

  const { pools } = folder.server()

  assert.deepEqual(pools[0].identity, { uid: 1, gid: 1 })
  assert.deepEqual(pools[1]?.identity, { uid: 12345, gid: 54321 })
})

test('a site shares a pool that is there', (t) => {
  const more = '[pool shop]\n'
  const good = configFolder(t, {
    'vhostel.ini': more,
    'sites-enabled/blog.ini': `${siteText('a.com')}pool = shop\n`,
  })
  const wrong = configFolder(t, {
    'vhostel.ini': more,
    'sites-enabled/blog.ini': `${siteText('a.com')}pool = shopp\n`,
  })

  assert.deepEqual(siteProblems(good), [])
  assert.equal(loadSite(good.path('sites-enabled/blog.ini'), good.server(), {}).config?.pool, 'shop')
  assert.match(
    siteProblems(wrong).join(),
    /\[site\] pool: there is no pool "shopp" in vhostel.ini; did you mean shop\?$/,
  )
})

test('a user needs a process of its own', (t) => {
  const folder = configFolder(t, { 'sites-enabled/blog.ini': `${siteText('a.com')}user = nobody\n` })

  assert.match(
    siteProblems(folder).join(),
    /\[site\] user: needs a process of its own: write isolation = process, or take the line away$/,
  )
})

test('limits that contradict each other are told at the one that is out of order', (t) => {
  const limits = '[limits]\nslow = 5s\nhard_limit = 1s\nshare = 50%\nmax = 20%\n'
  const folder = configFolder(t, { 'sites-enabled/blog.ini': `${siteText('a.com')}${limits}` })

  const told = siteProblems(folder).map((line) => line.replace(/^.*\] /, ''))

  assert.deepEqual(told.sort(), [
    'hard_limit: is less than soft_limit (2s): a thread is first retired, then ended',
    'share: is more than max (20%): what a site has in any case it must be able to take',
    'slow: is more than soft_limit (2s): a thread is first logged, then retired',
  ])
})

/** Of the file and of the sites `blog` and `tea`, a module and a static one. */
async function allProblems(t: TestContext, server: string, blog = '', more: Record<string, string> = {}) {
  const folder = configFolder(t, {
    'vhostel.ini': server,
    'sites-enabled/blog.ini': `${siteText('a.com')}${blog}`,
    'sites-enabled/tea.ini': '[site]\ndomains = b.com\nroot = ../public\n',
    ...more,
  })
  const { problems } = await loadAll(folder.path('vhostel.ini'), {})
  return problems.map((problem) => renderProblem(problem, folder.dir))
}

test('[defaults] that contradict each other, or name no pool, are told once', async (t) => {
  const problems = await allProblems(t, '[defaults]\npool = nowhere\nslow = 5s\nmax = 20%\nshare = 50%\n')

  assert.deepEqual(problems, [
    'vhostel.ini:2: [defaults] pool: there is no pool "nowhere": write [pool nowhere] in vhostel.ini and restart the server, or take the line away',
    'vhostel.ini:3: [defaults] slow: is more than soft_limit (2s): a thread is first logged, then retired',
    'vhostel.ini:5: [defaults] share: is more than max (20%): what a site has in any case it must be able to take',
  ])
})

test('a limit that does not go with one of [defaults] is told at the site', async (t) => {
  const problems = await allProblems(t, '[defaults]\nslow = 1500ms\n', '[limits]\nsoft_limit = 1s\n')

  assert.deepEqual(problems, [
    'sites-enabled/blog.ini:6: [limits] soft_limit: is less than slow (1s500ms): a thread is first logged, then retired',
  ])
})

test('a user in [defaults] is for the sites that have a process of their own, and no problem for the others', async (t) => {
  assert.deepEqual(await allProblems(t, '[defaults]\nuser = root\npool = default\n'), [])
})

test('a static site has no process, pool or user', async (t) => {
  const tea = '[site]\ndomains = b.com\nroot = ../public\nisolation = process\nuser = nobodi\n'

  assert.deepEqual(await allProblems(t, '', '', { 'sites-enabled/tea.ini': tea }), [
    'sites-enabled/tea.ini:4: [site] isolation: has no use without module: name what answers, or take the line away',
    'sites-enabled/tea.ini:5: [site] user: has no use without module or command: name what answers, or take the line away',
  ])
})

test('a pool in another file is told where it belongs, and a misspelt one what was meant', async (t) => {
  const problems = await allProblems(t, '[pol shop]\n[server x]\n', '[pool shop]\nthreads = 2\n', {
    'logging.ini': '[pool shop]\nthreads = many\n',
  })

  assert.deepEqual(problems, [
    'vhostel.ini:1: [pol shop]: the section is not known; did you mean [pool shop]?',
    'vhostel.ini:2: [server x]: the section is not known; did you mean [server]?',
    'logging.ini:1: [pool shop]: the section is not known here; it belongs in vhostel.ini',
    'sites-enabled/blog.ini:5: [pool shop]: the section is not known here; it belongs in vhostel.ini',
  ])
})

test('memory has a least, and a process cannot have more than all of them', (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[pool]\nmemory = 1GB\nprocess_memory = 2GB\nthread_memory = 0\n[pool a]\nmemory = 1\n',
  })

  assert.deepEqual(serverProblems(folder), [
    'vhostel.ini:3: [pool] process_memory: is more than memory (1GB), which all processes take together: it would never be reached',
    'vhostel.ini:4: [pool] thread_memory: "0" is too small: at least 32MB',
    'vhostel.ini:6: [pool a] memory: "1" is too small: at least 64MB',
  ])
})

test('a user or a group may have any number that a process can have', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, (t) => {
  const pool = (user: string): string => `user = ${user}\ngroup = ${user}\n`
  const folder = configFolder(t, {
    'vhostel.ini': `[pool]\n${pool('1234567890')}[pool last]\n${pool('2147483647')}`,
  })
  const beyond = configFolder(t, { 'vhostel.ini': `[pool]\n${pool('2147483648')}[pool b]\n${pool('99999999999')}` })

  const { pools } = folder.server()

  assert.deepEqual(
    pools.map(({ identity }) => identity),
    [
      { uid: 1234567890, gid: 1234567890 },
      { uid: 2147483647, gid: 2147483647 },
    ],
  )
  assert.deepEqual(serverProblems(beyond), [
    'vhostel.ini:2: [pool] user: "2147483648" is no user: the highest number is 2147483647',
    'vhostel.ini:5: [pool b] user: "99999999999" is no user: the highest number is 2147483647',
  ])
})

test('a server that is not started as root can only stay who it is', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, () => {
  const script = `const { readIdentity } = await import(${JSON.stringify(new URL('../../src/config/identity.ts', import.meta.url).href)})
    process.setgid(65534); process.setuid(65534)
    console.log(JSON.stringify([['65534'], ['65534', '65534'], ['65534', '0'], ['0']].map(([user, group]) => readIdentity(user, group))))`

  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })

  const [own, ownGroup, otherGroup, root] = JSON.parse(stdout)
  assert.deepEqual([own, ownGroup], [{ value: { uid: 65534, gid: 65534 } }, { value: { uid: 65534, gid: 65534 } }])
  assert.match(otherGroup.problem, /only a server that is started as root/)
  assert.match(root.problem, /only a server that is started as root/)
})
