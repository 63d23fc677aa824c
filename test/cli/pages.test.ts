import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { EXIT } from '../../src/cli/exit-codes.ts'
import { vhostel } from './command.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const read = (page: string): string => readFileSync(join(REPOSITORY, page), 'utf8')

test('every page of the repository that README.md, CHANGELOG.md and docs/cli.md link to is there', () => {
  const dead: string[] = []
  for (const page of ['README.md', 'CHANGELOG.md', 'docs/cli.md']) {
    for (const [, link = ''] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      if (!existsSync(join(REPOSITORY, dirname(page), link))) dead.push(`${page}: ${link}`)
    }
  }

  assert.deepEqual(dead, [])
})

test('docs/cli.md has a section for every command, and every exit code', async () => {
  const { stdout } = await vhostel(['--help'])
  const page = read('docs/cli.md')

  const commands = [...stdout.matchAll(/^ {2}([a-z]+)(?: \S+)* {2,}\S/gm)]
    .map((match) => match[1])
    .filter((name) => name !== 'help')

  assert.ok(commands.length > 8, stdout)
  for (const command of commands) assert.match(page, new RegExp(`^## ${command}$`, 'm'))
  for (const code of Object.values(EXIT)) assert.match(page, new RegExp(`^\\| ${code} \\|`, 'm'))
})
