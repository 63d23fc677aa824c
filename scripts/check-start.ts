/**
 * Runs `npm start` once as a new user would, and looks at every example site: `npm run ci:start`. Exits 1, with what was
 * printed, when anything is not as the README says.
 *
 * Limit: two minutes in all; everything that was started is ended, whatever happens. The port 8080 has to be free.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const REPOSITORY = resolve(import.meta.dirname, '..')
const DEADLINE_MS = 120_000
const deadline = AbortSignal.timeout(DEADLINE_MS)
const added = {
  ini: join(REPOSITORY, 'sites-enabled/check-start.ini'),
  folder: join(REPOSITORY, 'examples/check-start'),
}

const child = spawn('npm', ['start'], { cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'inherit'], detached: true })
let output = ''
child.stdout.setEncoding('utf8').on('data', (text: string) => {
  output += text
  process.stdout.write(text)
})
try {
  await check()
} catch (error) {
  process.stderr.write(`npm start is not as it should be: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  rmSync(added.ini, { force: true })
  rmSync(added.folder, { recursive: true, force: true })
  await stop(child)
}

async function check(): Promise<void> {
  await until('the table of sites', () => /^wiki\b/m.test(output))
  const urls = [...output.matchAll(/http:\/\/\S+\.localhost:8080\//g)].map(([url]) => url)
  if (urls.length < 7) throw new Error(`only ${urls.length} links in the table`)
  for (const url of urls) await expectPage(url)
  await addSite()
  process.stdout.write(`${urls.length} example sites answered, one more was added and taken away\n`)
}

/** A new INI file makes a site live without a restart, and its end takes the site away. */
async function addSite(): Promise<void> {
  mkdirSync(added.folder, { recursive: true })
  writeFileSync(join(added.folder, 'site.js'), "export default () => new Response('added')\n")
  const lines = ['[site]', 'domains = check-start.localhost', `root = ${added.folder}`, 'module = site.js']
  writeFileSync(added.ini, `${lines.join('\n')}\n`)
  const url = 'http://check-start.localhost:8080/'
  await until('the added site to answer', async () => (await get(url)).text === 'added')
  rmSync(added.ini)
  await until('the removed site to be gone', async () => (await get(url)).status === 421)
}

async function expectPage(url: string): Promise<void> {
  const { status, text } = await get(url)
  process.stdout.write(`${status} ${url}\n`)
  if (status !== 200 || text === '') throw new Error(`${url} answered ${status} ${text}`)
}

function get(url: string): Promise<{ status: number; text: string }> {
  const { host, pathname } = new URL(url)
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: 8080, path: pathname, headers: { host }, agent: false, signal: deadline }
    const req = request(options, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      res.on('end', () => resolve({ status: res.statusCode ?? 0, text }))
    })
    req.on('error', reject).end()
  })
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) {
    if (deadline.aborted || child.exitCode !== null) throw new Error(`waited for ${what}`)
    await delay(50)
  }
}

/**
 * Ends npm alone, as a service manager or `kill` does: it passes the signal on to what it started, and a server that is
 * behind a shell there would never hear of it. The group is for what may be left.
 */
async function stop(running: ChildProcess): Promise<void> {
  if (running.exitCode !== null || running.pid === undefined) return
  const exited = once(running, 'exit')
  const group = -running.pid
  const killer = setTimeout(() => process.kill(group, 'SIGKILL'), 40_000)
  running.kill('SIGTERM')
  await exited
  clearTimeout(killer)
  if (!isThere(group)) return
  process.kill(group, 'SIGKILL')
  process.stderr.write('npm start is not as it should be: the server goes on when npm has ended\n')
  process.exitCode = 1
}

function isThere(group: number): boolean {
  try {
    return process.kill(group, 0)
  } catch {
    return false
  }
}
