import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

const SRC = resolve(import.meta.dirname, '../../src')
/** docs/architecture.md, "Folders": a file imports only from its own folder or from one of a lower rank. */
const RANKS: Record<string, number> = {
  core: 0,
  config: 1,
  protocol: 1,
  pool: 2,
  worker: 2,
  acme: 2,
  admin: 2,
  advice: 2,
  dispatcher: 3,
  cli: 4,
}
const files = globSync('**/*.ts', { cwd: SRC })

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8')
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => match[1] as string)
  return found.map((path) => relative(SRC, resolve(SRC, dirname(file), path)))
}

test('every folder has a rank, and every folder with a rank exists', () => {
  const folders = new Set(files.map((file) => file.split('/')[0]))

  assert.deepEqual([...folders].sort(), Object.keys(RANKS).sort())
})

test('imports go to a strictly lower rank, or stay in their folder', () => {
  const wrong: string[] = []
  for (const file of files) {
    const from = file.split('/')[0] as string
    for (const target of importsOf(file)) {
      const to = target.split('/')[0] as string
      if (to !== from && !((RANKS[to] ?? 99) < (RANKS[from] ?? -1))) wrong.push(`${file} imports ${target}`)
    }
  }

  assert.deepEqual(wrong, [])
})

test('no import goes round in a circle at run time', () => {
  const graph = new Map<string, string[]>()
  for (const file of files) {
    const text = readFileSync(join(SRC, file), 'utf8').replace(/import type [^;\n]*?from '[^']+'/gs, '')
    const found = [...text.matchAll(/from\s+'(\.[^']+)'/g)].map((match) => match[1] as string)
    graph.set(
      file,
      found.map((path) => relative(SRC, resolve(SRC, dirname(file), path))),
    )
  }
  const circles: string[] = []
  const visit = (file: string, path: string[]): void => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(' → '))
      return
    }
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    graph.set(file, [])
  }

  for (const file of files) visit(file, [])

  assert.deepEqual(circles, [])
})
