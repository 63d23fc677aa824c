import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { argumentList, commandLine, fillCommand } from '../../src/config/command-line.ts'

const VALUES = { SOCKET: '/run/my app.sock', PORT: '8123' }

function words(text: string): string[] {
  return fillCommand(commandLine.parse(text), VALUES)
}

function fault(text: string): string {
  return commandLine.safeParse(text).error?.issues[0]?.message ?? ''
}

test('a command is split as sh splits it, and its place is filled in without being split again', () => {
  assert.deepEqual(words('gunicorn -b unix:$SOCKET app:application'), [
    'gunicorn',
    '-b',
    'unix:/run/my app.sock',
    'app:application',
  ])
  assert.deepEqual(words(`php -S "127.0.0.1:\${PORT}" 'a b'"c d"e\\ f`), ['php', '-S', '127.0.0.1:8123', 'a bc de f'])
  assert.deepEqual(words(`x "" '' '$PORT' "\\$PORT \\" \\\\ \\n" $$PORT`), [
    'x',
    '',
    '',
    '$PORT',
    '$PORT " \\ \\n',
    '$PORT',
  ])
  assert.deepEqual(words('x a#b a~b [::1]:$PORT {a,b} a=b'), ['x', 'a#b', 'a~b', '[::1]:8123', '{a,b}', 'a=b'])
})

test('a command listens on what is written in it, and on a port where nothing is', () => {
  assert.equal(commandLine.parse('x $SOCKET').place, 'SOCKET')
  assert.equal(commandLine.parse('x $PORT').place, 'PORT')
  assert.equal(commandLine.parse("x '$PORT'").place, 'PORT')
})

test('what cannot be meant as it is written is told', () => {
  assert.match(
    fault('a $HOME'),
    /\$HOME is not known: only \$SOCKET and \$PORT are filled in; write \$\$ for a dollar sign/,
  )
  assert.match(fault('a $ b'), /a \$ stands for nothing/)
  for (const text of ["sh -c 'a $SOCKET'", `'$\u007bSOCKET}'`, 'a \\$SOCKET'])
    assert.match(fault(text), /SOCKET\}? is not filled in/)
  assert.match(fault('["node", "a.js"]'), /without brackets and commas/)
  assert.match(fault('a “b”'), /“ is a quote of a word processor/)
  assert.match(fault('a $SOCKET $PORT'), /listens on one of them/)
  assert.match(fault("a 'b"), /a ' is not closed/)
  assert.match(fault('a "b'), /a " is not closed/)
  assert.match(fault('a \\'), /ends with a \\/)
  assert.match(fault('a > b'), /no shell runs, so > has no meaning/)
  assert.match(fault('a ~/b'), /no shell runs, so ~/)
  assert.match(fault("''"), /is empty/)
  assert.match(fault(' '), /is empty/)
})

test('arguments of a module are split in the same way, and no place is filled in', () => {
  assert.deepEqual(argumentList.parse(`start --dir "my files" 'a b' $$HOME`), [
    'start',
    '--dir',
    'my files',
    'a b',
    '$HOME',
  ])
  assert.deepEqual(argumentList.parse(''), [])
  const problem = (text: string): string => argumentList.safeParse(text).error?.issues[0]?.message ?? ''
  assert.match(problem('--port $PORT'), /--port \$PORT.*: \$SOCKET and \$PORT are for programs \(kind = command\)/)
  assert.match(problem('start | tee'), /no shell runs, so \| has no meaning/)
})

test('words without a variable are what sh makes of them', () => {
  const piece = fc.stringMatching(/^[a-z '"\\.]{1,12}$/)
  fc.assert(
    fc.property(piece, (text) => {
      const read = commandLine.safeParse(`x ${text}`)
      const shell = spawnSync('sh', ['-c', `printf '%s\\0' x ${text.trimEnd()}`], { encoding: 'utf8' })
      if (shell.status !== 0 || /\\$/.test(text.trimEnd())) return
      assert.ok(read.success, text)
      assert.deepEqual(fillCommand(read.data, VALUES), shell.stdout.split('\0').slice(0, -1))
    }),
    { numRuns: 60 },
  )
})
