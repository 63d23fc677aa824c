#!/usr/bin/env node
// The command: checks which Node runs it, then starts dist/ (published) or src/ (in a checkout). Kept to what Node 12
// understands, so that an old Node gets the sentence below and not a syntax error.
import { existsSync } from 'node:fs'

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

var source = new URL('../src/cli/main.ts', import.meta.url)
import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href).then((cli) =>
  cli.main(process.argv.slice(2)),
)
