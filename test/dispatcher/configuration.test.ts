import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Log } from '../../src/core/log.ts'
import { Configuration, serverConfigFor } from '../../src/dispatcher/configuration.ts'
import type { Hosting } from '../../src/dispatcher/hosting.ts'
import { makeFolder } from '../helpers/folder.ts'

/** What the log was told, and a log that says it. */
function listen(): { lines: string[]; log: Log } {
  const lines: string[] = []
  const say = (fields: unknown, line?: string): void => void lines.push(line ?? String(fields))
  return { lines, log: { error: say, warn: say, info: say } as unknown as Log }
}

/** A configuration of no sites, in a folder of its own. @param apply what is done with what was read */
function startConfiguration(t: TestContext, apply: () => Promise<void> = async () => {}) {
  const dir = makeFolder(t, { 'vhostel.ini': '[server]\n' })
  mkdirSync(join(dir, 'sites-enabled'))
  const file = join(dir, 'vhostel.ini')
  const { lines, log } = listen()
  const hosting = { apply, setIniProblems: () => {}, errorPages: undefined } as unknown as Hosting
  return { dir, file, lines, configuration: new Configuration(serverConfigFor(file), hosting, {}, log) }
}

test('a reading that fails is told to who asked, and those that waited for it are read for all the same', async (t) => {
  let calls = 0
  const { configuration } = startConfiguration(t, () => {
    if (++calls === 1) throw new Error('the first fails')
    return Promise.resolve()
  })

  const [first, second] = await Promise.allSettled([configuration.refresh(), configuration.refresh()])
  await configuration.refresh()

  assert.equal(first.status, 'rejected')
  assert.equal(second.status, 'fulfilled')
  assert.equal(calls, 3)
})

test('what is wrong with the server is in the log once, whichever of its files it is in', async (t) => {
  const { configuration, dir, file, lines } = startConfiguration(t)
  await configuration.refresh()

  writeFileSync(file, '[server]\ndefault_site = nobody\n')
  await configuration.refresh()
  writeFileSync(file, '[server]\ndefault_site = nobody\nlisten = nowhere\n')
  rmSync(join(dir, 'sites-enabled'), { recursive: true })
  await configuration.refresh()
  await configuration.refresh()

  for (const told of ['"nobody"', '"nowhere"', 'sites folder does not exist']) {
    assert.equal(lines.filter((line) => line.includes(told)).length, 1, lines.join('\n'))
  }
})

test('a warning of the server is in the log once, and again when it comes back', async (t) => {
  const { configuration, dir, file, lines } = startConfiguration(t)
  writeFileSync(file, '[errors]\n421 = none.html\n')
  const told = (): number => lines.filter((line) => line.includes('[errors] 421: ')).length

  await configuration.refresh()
  await configuration.refresh()
  const once = told()
  writeFileSync(join(dir, 'none.html'), '<p>none')
  await configuration.refresh()
  rmSync(join(dir, 'none.html'))
  await configuration.refresh()

  assert.deepEqual([once, told()], [1, 2], lines.join('\n'))
})

test('what is passed over in the sites folder is in the log once, and again when it is something else', async (t) => {
  const { configuration, dir, lines } = startConfiguration(t)
  const told = (): number => lines.filter((line) => line.includes('passed over')).length

  writeFileSync(join(dir, 'sites-enabled/hello'), '')
  await configuration.refresh()
  await configuration.refresh()
  const once = told()
  writeFileSync(join(dir, 'sites-enabled/shop'), '')
  await configuration.refresh()

  assert.deepEqual([once, told(), configuration.problems], [1, 2, []], lines.join('\n'))
})

test('a change of the run folder says that commands find no server until the restart', async (t) => {
  const { configuration, file, lines } = startConfiguration(t)
  await configuration.refresh()

  writeFileSync(file, '[server]\nrun = elsewhere\n')
  await configuration.refresh()
  await configuration.refresh()

  const told = lines.filter((line) => line.includes('commands find no server'))
  assert.equal(told.length, 1, lines.join('\n'))
})

test('a setting that takes effect at the next start is told when it is changed, and not at each reading', async (t) => {
  const { configuration, file, lines } = startConfiguration(t)
  await configuration.refresh()

  writeFileSync(file, '[server]\nlisten = 8081\n')
  await configuration.refresh()
  await configuration.refresh()

  assert.equal(lines.filter((line) => line.includes('next start')).length, 1, lines.join('\n'))
})
