/**
 * Runs a suite on plain Node and inside a hosted site, one after the other, and compares what became of each test.
 * Details of each test are left in `.results/`.
 *
 * Limits: `RUN_DEADLINE_MS` a run; what has not ended by then counts as lost.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Box, send } from '../helpers/box.ts'
import { fetchSuite } from './fetch-suites.ts'
import { PROGRESS_HEADER } from './harness/loop-back.ts'
import type { Outcome, Progress, RunOrder } from './harness/outcome.ts'
import type { Suite } from './suites.ts'

/** Of the tests that pass on plain Node, how many have to pass hosted. */
export const WANTED_SHARE = 0.99
const RUN_DEADLINE_MS = 300_000
/** Lost tests that are told one by one. */
const SHOWN_LOST = 30
/** Of both runs: vhostel sets `production` for its sites, where nothing says otherwise. */
const NODE_ENV = 'development'
const HARNESS = join(import.meta.dirname, 'harness')
const RESULTS_DIR = join(import.meta.dirname, '.results')

export interface Comparison {
  suite: Suite
  total: number
  plain: number
  hosted: number
  /** Passed on plain Node, failed hosted. */
  lost: Outcome[]
  plainMs: number
  hostedMs: number
}

function orderOf(suite: Suite): RunOrder {
  const dir = fetchSuite(suite)
  const files = suite.folders.flatMap((folder) =>
    readdirSync(join(dir, folder), { withFileTypes: true })
      .filter((entry) => entry.isFile() && suite.files.test(entry.name))
      .map((entry) => join(folder, entry.name))
      .filter((file) => !suite.leftOut.some(({ test }) => test === file))
      .sort(),
  )
  const skip = suite.leftOut.map(({ test }) => test).filter((test) => !test.endsWith('.js'))
  return { dir, runner: suite.runner, setup: suite.setup, files, skip }
}

async function runPlain(name: string, order: RunOrder): Promise<Outcome[]> {
  const child = spawn(process.execPath, [join(HARNESS, 'plain-run.ts')], {
    cwd: order.dir,
    env: { ...process.env, NODE_ENV, COMPAT_RUN: writeOrder(`${name}-plain`, order) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_DEADLINE_MS,
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the plain run ended with ${code}:\n${errors.slice(-4_000)}`)
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as Outcome[]
}

async function runHosted(name: string, order: RunOrder): Promise<Outcome[]> {
  const box = new Box(mkdtempSync(join(tmpdir(), 'vh-suite-')))
  try {
    const port = await startSuiteBox(box, name, order)
    return await outcomesOf(box, port)
  } finally {
    await box.stop()
    rmSync(box.dir, { recursive: true, force: true })
  }
}

/** One process with one thread: the tests and their servers have to be in the same one. */
async function startSuiteBox(box: Box, name: string, order: RunOrder): Promise<number> {
  mkdirSync(join(box.dir, 'sites-enabled'))
  box.write(
    'vhostel.ini',
    '[server]\nlisten = 127.0.0.1:0\ndefault_site = suite\n[pool]\nprocesses = 1\nthreads = 1\nconcurrency = 5000\n',
  )
  await box.start()
  box.addSite('suite', {
    ini: [
      '[site]',
      // What the site itself sends is compared, as a proxy in front would get it.
      'compress = no',
      'domains = suite.test',
      `root = ${order.dir}`,
      `module = ${join(HARNESS, 'hosted-run.ts')}`,
      'type = listen',
      'http_port = 80',
      // The outcomes are in memory. Harness and tests patch what all share besides, so they get a process of their own.
      '[limits]',
      'max_threads = 1',
      '[env]',
      `NODE_ENV = ${NODE_ENV}`,
      `COMPAT_RUN = ${writeOrder(`${name}-hosted`, { ...order, frontPort: box.port })}`,
    ].join('\n'),
  })
  await box.waitFor('the site to be there', async () => (await box.site('suite')) !== undefined)
  return box.port
}

/** Asks until all tests have ended, or the time is up. The first question also starts the site. */
async function outcomesOf(box: Box, port: number): Promise<Outcome[]> {
  const deadline = performance.now() + RUN_DEADLINE_MS
  for (;;) {
    const { isOver, outcomes, problem } = await askProgress(box, port)
    if (problem !== undefined) throw new Error(problem)
    if (isOver) return outcomes
    if (performance.now() > deadline) {
      const { file, title } = outcomes.at(-1) ?? { file: '-', title: '-' }
      console.error(`the hosted run has not ended within ${RUN_DEADLINE_MS} ms; the last test was ${file}: ${title}`)
      return outcomes
    }
    await delay(500)
  }
}

async function askProgress(box: Box, port: number): Promise<Progress> {
  const headers = { host: 'suite.test', [PROGRESS_HEADER]: 'yes' }
  const reply = await send({ host: '127.0.0.1', port, path: '/', agent: false, headers })
  if (reply.status !== 200) throw new Error(`${reply.status} ${reply.text}\n${box.output.slice(-4_000)}`)
  return JSON.parse(reply.text) as Progress
}

/** @throws when the suite cannot be had, or one of the two runs gives nothing */
export async function compareSuite(suite: Suite): Promise<Comparison> {
  const order = orderOf(suite)
  const startedAt = performance.now()
  const plain = await runPlain(suite.name, order)
  const plainMs = performance.now() - startedAt
  const hosted = await runHosted(suite.name, order)
  const hostedMs = performance.now() - startedAt - plainMs
  writeResult(`${suite.name}-plain`, plain)
  writeResult(`${suite.name}-hosted`, hosted)
  const passed = plain.filter(({ state }) => state === 'passed')
  const byKey = new Map(hosted.map((outcome) => [keyOf(outcome), outcome]))
  const lost = passed
    .filter((outcome) => byKey.get(keyOf(outcome))?.state !== 'passed')
    .map((outcome) => byKey.get(keyOf(outcome)) ?? { ...outcome, state: 'failed' as const, message: 'it was not run' })
  const total = plain.filter(({ state }) => state !== 'pending').length
  return { suite, total, plain: passed.length, hosted: passed.length - lost.length, lost, plainMs, hostedMs }
}

function keyOf({ file, title }: Outcome): string {
  return `${file} ${title}`
}

/** @returns the file, for `COMPAT_RUN` */
function writeOrder(name: string, order: RunOrder): string {
  return writeResult(`${name}-order`, order)
}

function writeResult(name: string, value: unknown): string {
  mkdirSync(RESULTS_DIR, { recursive: true })
  const file = join(RESULTS_DIR, `${name}.json`)
  writeFileSync(file, JSON.stringify(value, null, 1))
  return file
}

/** 0 to 1 */
export function shareOf({ plain, hosted }: Comparison): number {
  return plain === 0 ? 0 : hosted / plain
}

/** For a person: one line, and two for each test that was lost. */
export function describeComparison(comparison: Comparison): string {
  const { suite, total, plain, hosted, lost, plainMs, hostedMs } = comparison
  const percent = (shareOf(comparison) * 100).toFixed(2)
  const seconds = `${(plainMs / 1000).toFixed(1)} s plain, ${(hostedMs / 1000).toFixed(1)} s hosted`
  return [
    `${suite.title}: ${total} tests, ${plain} pass plain, ${hosted} pass hosted = ${percent} % (${seconds})`,
    ...lost
      .slice(0, SHOWN_LOST)
      .map(({ file, title, message = '' }) => `  ${file}: ${title}\n      ${message.split('\n')[0]}`),
    ...(lost.length > SHOWN_LOST ? [`  and ${lost.length - SHOWN_LOST} more`] : []),
  ].join('\n')
}
