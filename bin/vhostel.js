#!/usr/bin/env node
// The command: checks which Node runs it, then starts dist/ (published) or src/ (in a checkout). Kept to what Node 12
// understands, so that an old Node gets the sentence below and not a syntax error.
import { existsSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'

var FLOOR = [24, 15]
var EX_CONFIG = 78

var version = process.versions.node.split('.').map(Number)
if (version[0] < FLOOR[0] || (version[0] === FLOOR[0] && version[1] < FLOOR[1])) {
  process.stderr.write(
    'vhostel: this is Node ' +
      process.versions.node +
      ', Node ' +
      FLOOR.join('.') +
      ' or newer is needed: in a checkout run it by npm (npm start brings its own), else install it from https://nodejs.org\n',
  )
  process.exit(EX_CONFIG)
}

// V8 lets the young generation grow with the memory of the machine: to 128 MB where there are 24 GB, of which a busy
// dispatcher then has 270 MB and is slower for it (docs/performance.md). Only a flag at the start says less, so the
// server puts itself in its own place once more, 20 ms later. Not where that would lose what it was handed: a channel to its
// parent, or listening sockets (Node marks all descriptors but the first three to be closed then).
var LIMIT = '--max-semi-space-size=8'
// Beside the thread that serves, V8 has four that collect and compile, each with memory of its own that it keeps: one will do.
var HELPERS = '--v8-pool-size=1'
var isLimited = (process.execArgv.join(' ') + (process.env.NODE_OPTIONS || ''))
  .replace(/_/g, '-')
  .includes(LIMIT.slice(0, -2))
var isHanded = process.channel !== undefined || process.env.LISTEN_FDS !== undefined
var isServer = process.argv.includes('serve')
// Node aborts where the kernel cannot start it again.
if (isServer && !isLimited && !isHanded && existsSync(process.execPath)) {
  try {
    process.execve(process.execPath, [process.argv0, LIMIT, HELPERS].concat(process.execArgv, process.argv.slice(1)))
  } catch (_) {
    // Where that is not allowed (Node's permission model), it runs as it is.
  }
}

// V8's middle compiler gains the server nothing, and costs it 10 MB that it does not get back, and a quarter of its requests on
// two cores, where it compiles at the side. So that code does not stay slow for longer, the last one comes as early as the
// middle one did (docs/architecture.md). Sites run in other processes, which have both.
if (isServer) setFlagsFromString('--no-maglev')
if (isServer) setFlagsFromString('--invocation-count-for-turbofan=400')

// V8 puts what seems to live long into the old generation at once. Here that are parts of connections, which do not, and each of
// them keeps all that it refers to until the next major collection (docs/architecture.md).
if (isServer) setFlagsFromString('--no-allocation-site-pretenuring')

var source = new URL('../src/cli/main.ts', import.meta.url)
import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href).then((cli) =>
  cli.main(process.argv.slice(2)),
)
