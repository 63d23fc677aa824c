/** What follows a fault: the site comes back when it behaves, and nothing is left of a server that is gone. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crashingAddon } from '../../bench/chaos/crashing-addon.ts'
import type { Box } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'
import { assertNoneLeft } from '../helpers/fault-box.ts'
import { treeOf } from '../helpers/memory.ts'

const POOL = '[pool]\nprocesses = 2\nthreads = 1'
const GOOD = { files: { 'app.mjs': "export default () => new Response('good')" } }
const LIMITS = '[limits]\nslow = 100ms\nsoft_limit = 300ms\nhard_limit = 600ms\n'

/** Loops when asked to, else answers with its process. */
const SOMETIMES_BAD = `export default (request, response) => {
  if (request.url === '/loop') while (true) {}
  response.end(String(process.pid))
}`

/** How much each thread of a process stands back for others (proc(5): the 19th field). */
function nicesOf(pid: string): Set<string | undefined> {
  const stats = readdirSync(`/proc/${pid}/task`).map((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1'),
  )
  return new Set(stats.map((stat) => stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]))
}

/** What the log says that begins with these words. */
function lines(box: Box, words: string): Record<string, unknown>[] {
  const found = box.output.split('\n').filter((line) => line.includes(`"msg":"${words}`))
  return found.map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function whereIs(box: Box, site: string): Promise<string | undefined> {
  return (await box.site(site))?.residency?.group
}

test('a site that looped gets a process of its own, says why, and comes back when it has behaved', async (t) => {
  const bad = { files: { 'app.mjs': SOMETIMES_BAD }, more: `${LIMITS}quarantine = 5s\n` }
  const box = await startBox(t, { bad, good: GOOD }, { config: POOL })
  const shared = new Set([(await box.ask('bad')).text])
  const before = Date.now()

  const looped = await box.ask('bad', '/loop')
  const own = await box.ask('bad')
  const nices = nicesOf(own.text)
  const status = await box.site('bad')
  const offence = status?.residency?.offences[0]
  await box.waitFor('the site to be let out', async () => (await whereIs(box, 'bad')) === 'default')
  await box.waitFor('its own process to end', async () => (await box.status()).pool.groups.length === 1)
  const after = await box.ask('bad')

  assert.ok(looped.status === 502 || looped.status === 504, `${looped.status}`)
  assert.equal(own.status, 200)
  assert.ok(!shared.has(own.text), 'it answers from another process')
  assert.deepEqual(nices, new Set(['5']), 'its whole process stands back for others')
  assert.deepEqual([status?.state, status?.residency?.group], ['quarantined', 'site:bad'])
  assert.ok((status?.residency?.quarantinedSince ?? 0) >= before)
  assert.equal(offence?.kind, 'blocked')
  assert.equal(after.status, 200)
  assert.notEqual(after.text, own.text)
  assert.equal((await box.site('bad'))?.state, 'live')
  assert.match(box.output, /"site":"bad".*has behaved/)
  assert.match(box.output, /"site":"bad".*"url":"\/loop".*app\.mjs:2/)
})

test('each step that is taken with a thread is logged with the site, the request and its age, and the thread', async (t) => {
  const bad = { files: { 'app.mjs': SOMETIMES_BAD }, more: LIMITS }
  const box = await startBox(t, { bad, good: GOOD }, { config: POOL })

  await box.ask('bad', '/loop', { method: 'POST' })

  await box.waitFor('the last step', () => lines(box, 'thread is terminated').length > 0)
  const steps = { 'site keeps its thread': 100, 'thread retires': 300, 'thread is terminated': 600 }
  for (const [step, dueMs] of Object.entries(steps)) {
    const told = lines(box, step)
    assert.equal(told.length, 1, step)
    const { site, method, url, ageMs, forMs, thread, process } = told[0] ?? {}
    assert.deepEqual([site, method, url], ['bad', 'POST', '/loop'], step)
    assert.ok(Number(forMs) >= dueMs && Number(ageMs) >= dueMs && Number(ageMs) < 20_000, `${step}: ${forMs}, ${ageMs}`)
    assert.ok(Number.isInteger(thread) && Number.isInteger(process), `${step}: ${thread}, ${process}`)
  }
})

test('a quarantined site goes back at once where its file says that it is never to be quarantined', async (t) => {
  const bad = { files: { 'app.mjs': SOMETIMES_BAD }, more: `${LIMITS}quarantine = 1h\n` }
  const box = await startBox(t, { bad, good: GOOD }, { config: POOL })
  await box.ask('bad', '/loop')
  assert.equal(await whereIs(box, 'bad'), 'site:bad')

  const file = join(box.dir, 'sites-available/bad.ini')
  writeFileSync(file, readFileSync(file, 'utf8').replace('quarantine = 1h', 'quarantine = 0s'))
  await box.waitFor('the site to be let out', async () => (await whereIs(box, 'bad')) === 'default')

  assert.equal((await box.ask('bad')).status, 200)
  assert.match(box.output, /"site":"bad".*not to be quarantined and goes back/)
})

test('a site that is long in loading is loaded in the end, and one with a request open in its thread is not blamed', async (t) => {
  const waiting = `import { writeFileSync } from 'node:fs'
    export default (request, response) => {
      if (request.url !== '/wait') return response.end('at once')
      writeFileSync('waiting', 'yes')
      setTimeout(() => response.end('waited'), 3_500)
    }`
  const loading = `import { execSync } from 'node:child_process'
    import { appendFileSync } from 'node:fs'
    appendFileSync('loading', '.')
    execSync('sleep 3')
    export default () => new Response('loaded')`
  const sites = { good: { files: { 'app.mjs': waiting } }, late: { files: { 'app.mjs': loading } } }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  // Not to be repeated, so that it stays where it is.
  const waits = box.ask('good', '/wait', { method: 'POST' })
  await box.waitFor('the request to begin', () => isThere(`${box.dir}/sites/good/waiting`))

  const late = box.ask('late')
  await box.waitFor('the other site to be loading', () => isThere(`${box.dir}/sites/late/loading`))
  const meanwhile = await box.ask('good')
  const answers = [(await waits).text, meanwhile.text, (await late).text]

  assert.match(box.output, /site keeps its thread/, 'the thread was not seen to be kept: nothing is proved')
  assert.deepEqual(answers, ['waited', 'at once', 'loaded'])
  assert.deepEqual((await box.site('good'))?.residency?.offences, [])
  const loads = readFileSync(`${box.dir}/sites/late/loading`, 'utf8').length
  assert.equal(loads, 1, 'it was loaded in vain')
})

test('what a site does once at its first request, after each reload, is not held against it; what it does again is', async (t) => {
  const app = `let isWarm = false
    const burn = () => {
      const now = () => process.threadCpuUsage().user + process.threadCpuUsage().system
      for (const until = now() + 300_000; now() < until; );
    }
    export default (request, response) => {
      if (!isWarm || request.url === '/burn') burn()
      isWarm = true
      response.end('warm')
    }`
  const lazy = { files: { 'app.mjs': app }, more: '[limits]\nslow = 5s\nsoft_limit = 6s\noffences = 2\n' }
  const box = await startBox(t, { lazy, good: GOOD }, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  for (let round = 0; round < 3; round++) {
    assert.equal((await box.ask('lazy')).text, 'warm')
    await box.reload('lazy')
  }
  await box.ask('lazy')

  await box.ask('lazy', '/burn')
  await box.waitFor('the second block to count', async () => (await box.site('lazy'))?.residency?.offences.length !== 0)

  assert.equal((await box.site('lazy'))?.residency?.offences.length, 1, box.output)
  assert.equal(await whereIs(box, 'lazy'), 'default')
})

/** Works in small pieces from its first request on, so that its thread comes round after each. */
const BUSY = (forEver: string) => `const piece = () => {
    const now = () => process.threadCpuUsage().user + process.threadCpuUsage().system
    for (const until = now() + 5_000; now() < until; );
    ${forEver}
  }
  export default (request, response) => {
    piece()
    response.end('busy')
  }`

test('a site that keeps its thread busy without a request is quarantined, though no turn of it is long', async (t) => {
  const sites = { busy: { files: { 'app.mjs': BUSY('setImmediate(piece)') } }, good: GOOD }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  await box.ask('good')
  await box.ask('busy')

  const isAlone = async (): Promise<boolean> => {
    assert.equal((await box.ask('good')).text, 'good')
    return (await whereIs(box, 'busy')) === 'site:busy'
  }
  await box.waitFor('the site to have a process of its own', isAlone, 60_000)

  assert.match((await box.site('busy'))?.residency?.offences[0]?.text ?? '', /^kept its thread (?:busy )?for \d+ ms/)
  assert.equal(await whereIs(box, 'good'), 'default')
  assert.equal((await box.ask('busy')).text, 'busy')
})

test('a site that works in the background is told from its requests, and quarantined though it is asked all the time', async (t) => {
  const app = `setInterval(() => {
      const until = performance.now() + 12
      while (performance.now() < until);
    }, 14)
    export default (request, response) => response.end('busy')`
  const sites = { busy: { files: { 'app.mjs': app } }, good: GOOD }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  await box.ask('good')
  let isAlone = false
  const visit = async (): Promise<void> => {
    while (!isAlone) assert.equal((await box.ask('busy')).status, 200)
  }

  const visitors = Promise.all([visit(), visit(), visit()])
  const look = async (): Promise<boolean> => (await whereIs(box, 'busy')) === 'site:busy'
  await box.waitFor('the site to have a process of its own', look, 60_000).finally(() => {
    isAlone = true
  })
  await visitors

  assert.match((await box.site('busy'))?.residency?.offences[0]?.text ?? '', /without a request$/)
  assert.equal(await whereIs(box, 'good'), 'default')
})

test('neighbours of a site that works in the background go to another thread before it is known to go on', async (t) => {
  const app = `import { threadId } from 'node:worker_threads'
    export default (request, response) => {
      if (request.url === '/begin') setInterval(() => {
        const until = performance.now() + 25
        while (performance.now() < until);
      }, 5)
      response.end(String(threadId))
    }`
  const files = { 'app.mjs': app }
  const patient = { files, more: '[limits]\nslow = 40s\nsoft_limit = 50s\nhard_limit = 60s\n' }
  const neighbours = ['a', 'b', 'c']
  const sites = { busy: patient, ...Object.fromEntries(neighbours.map((name) => [name, { files }])) }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 2' })
  const threadOf = async (site: string): Promise<string> => (await box.ask(site)).text
  const busy = (await box.ask('busy')).text
  const homes = await Promise.all(neighbours.map(async (name) => ({ name, home: await threadOf(name) })))
  const beside = homes.find(({ home }) => home === busy)?.name
  assert.ok(beside !== undefined, JSON.stringify(homes))

  await box.ask('busy', '/begin')

  await box.waitFor('the neighbour to be elsewhere', async () => (await threadOf(beside)) !== busy, 30_000)
  const next = await Promise.all(Array.from({ length: 10 }, () => threadOf(beside)))
  assert.ok(!next.includes(busy), `${next}; thread ${busy} is the busy one`)
  assert.equal(await whereIs(box, 'busy'), 'default')
})

test('a site that is busy with its requests is not quarantined for that', async (t) => {
  const sites = { busy: { files: { 'app.mjs': BUSY('') } }, good: GOOD }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  await box.ask('good')
  const until = performance.now() + 4_000
  const visit = async (): Promise<void> => {
    while (performance.now() < until) await box.ask('busy')
  }

  await Promise.all(Array.from({ length: 8 }, visit))

  assert.deepEqual((await box.site('busy'))?.residency?.offences, [])
  assert.equal(await whereIs(box, 'busy'), 'default')
})

test('the timers of a quarantined site end soon in the thread that it had shared, however much is edited meanwhile', async (t) => {
  const app = `import { appendFileSync } from 'node:fs'
    ${BUSY('appendFileSync("ticks", process.pid + "\\n"); setImmediate(piece)')}`
  // One is edited, and another keeps the thread from being empty.
  const sites = { bad: { files: { 'app.mjs': app } }, good: GOOD, calm: GOOD }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  await box.ask('good')
  await box.ask('calm')
  await box.ask('bad')
  await box.waitFor('it to work', () => isThere(`${box.dir}/sites/bad/ticks`))
  const shared = readFileSync(`${box.dir}/sites/bad/ticks`, 'utf8').split('\n')[0]
  const ticks = (): number =>
    readFileSync(`${box.dir}/sites/bad/ticks`, 'utf8')
      .split('\n')
      .filter((pid) => pid === shared).length

  const isAlone = async (): Promise<boolean> => {
    await box.ask('calm')
    return (await whereIs(box, 'bad')) === 'site:bad'
  }
  await box.waitFor('the site to have a process of its own', isAlone, 60_000)
  let [before, edits] = [0, 0]
  await box.waitFor(
    'the timer to be gone from the shared process',
    async () => {
      before = ticks()
      // Each edit puts off the tidying that edits wait for.
      box.write('sites/good/app.mjs', `export default () => new Response('edit ${++edits}')`)
      await box.reload('good')
      await new Promise((resolve) => setTimeout(resolve, 500))
      return ticks() === before
    },
    15_000,
  )

  assert.ok(before > 0)
  assert.equal((await box.ask('good')).text, `edit ${edits}`)
})

test('a crash in native code is put on the site that brought it, at its load as in a request, and on no neighbour', async (t) => {
  const addon = crashingAddon()
  assert.ok(addon !== undefined, 'Linux on x64 or arm64 is needed')
  const crash = "process.dlopen({ exports: {} }, process.cwd() + '/crash.node')"
  const slow = "export default (request, response) => setTimeout(() => response.end('slow'), 1_000)"
  const sites = {
    good: { files: { 'app.mjs': slow } },
    atLoad: { files: { 'app.mjs': crash } },
    inRequest: { files: { 'app.mjs': `export default () => { ${crash} }` } },
  }
  const box = await startBox(t, sites, { config: '[pool]\nprocesses = 1\nthreads = 1' })
  for (const name of ['atLoad', 'inRequest']) writeFileSync(`${box.dir}/sites/${name}/crash.node`, addon)

  for (const name of ['atLoad', 'inRequest']) {
    const neighbour = box.ask('good')
    const { status } = await box.ask(name)
    assert.ok(status === 502 || status === 503, `${name}: ${status}`)
    assert.equal((await neighbour).text, 'slow')
    assert.equal((await box.site(name))?.residency?.offences[0]?.kind, 'crashed', name)
    assert.deepEqual((await box.site('good'))?.residency?.offences, [], name)
  }
  assert.doesNotMatch(box.output, /sites are separated/)
})

test('a site that crashes its own process in a loop is throttled, and its visitors are told when to try again', async (t) => {
  const app = "import { execSync } from 'node:child_process'\nexport default () => { execSync('kill -9 $PPID') }"
  const bad = { files: { 'app.mjs': app }, more: 'isolation = process\n' }
  const box = await startBox(t, { bad, good: GOOD }, { config: POOL })
  let refused = await box.ask('bad')

  await box.waitFor('a 503', async () => {
    refused = await box.ask('bad')
    assert.ok(refused.status === 502 || refused.status === 503, `${refused.status}`)
    return refused.status === 503
  })

  assert.match(refused.headers['retry-after'] ?? '', /^[12]$/)
  assert.equal((await box.ask('good')).text, 'good')
  assert.ok(((await box.site('bad'))?.throttledUntil ?? 0) > Date.now())
  const pauses = (): unknown[] => lines(box, 'worker process ended').map(({ waitMs }) => waitMs)
  await box.waitFor('three ends of it', async () => (await box.ask('bad')) && pauses().length >= 3)
  // To be killed once is no fault of what runs in it.
  assert.deepEqual(pauses().slice(0, 3), [0, 1_000, 2_000])
})

test('no worker process outlives a server that is killed while a thread is in native code', async (t) => {
  const app = `import { execFileSync } from 'node:child_process'
    import { readFileSync, writeFileSync } from 'node:fs'
    execFileSync('mkfifo', ['fifo'])
    export default (request, response) => {
      writeFileSync('reading', 'yes')
      response.end(readFileSync('fifo'))
    }`
  const box = await startBox(t, { bad: { files: { 'app.mjs': app } }, good: GOOD }, { config: POOL })
  const workers = new Set(treeOf(box.pid).slice(1))
  const asked = box.ask('bad').catch((error: unknown) => error)
  await box.waitFor('the thread to be in native code', () => isThere(`${box.dir}/sites/bad/reading`))

  process.kill(box.pid, 'SIGKILL')

  await assertNoneLeft(box, workers)
  assert.ok((await asked) instanceof Error)
})

function isThere(file: string): boolean {
  try {
    return readFileSync(file).length > 0
  } catch {
    return false
  }
}
