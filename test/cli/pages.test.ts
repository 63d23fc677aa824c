import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { EXIT } from '../../src/cli/exit-codes.ts'
import { vhostel } from './command.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const read = (page: string): string => readFileSync(join(REPOSITORY, page), 'utf8')

/** The anchor that GitHub makes of a heading. */
function anchorOf(heading: string): string {
  const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
  return text.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-')
}

function anchorsOf(page: string): Set<string> {
  const text = read(page).replaceAll(/^```[\s\S]*?^```/gm, '')
  return new Set([...text.matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1] ?? '')))
}

test('every page and every heading of the repository that README.md, CHANGELOG.md and docs/ link to is there', () => {
  const dead: string[] = []
  for (const page of ['README.md', 'CHANGELOG.md', ...globSync('docs/*.md', { cwd: REPOSITORY })]) {
    for (const [, link = '', anchor] of read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
      const target = link === '' ? page : join(dirname(page), link)
      const isThere = existsSync(join(REPOSITORY, target))
      if (!isThere || (anchor !== undefined && !anchorsOf(target).has(anchor)))
        dead.push(`${page}: ${link}#${anchor ?? ''}`)
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

test('README.md names the packages that .ci/run installs for the tests', () => {
  const installed = /^for package in (.+); do$/m.exec(read('.ci/run'))?.[1]
  const named = /^apt-get install --no-install-recommends (.+)$/m.exec(read('README.md'))?.[1]

  assert.ok(installed !== undefined)
  assert.equal(named, installed)
})
