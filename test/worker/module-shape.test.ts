import assert from 'node:assert/strict'
import http from 'node:http'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fastify from 'fastify'
import { Hono } from 'hono'
import type { ModuleType } from '../../src/protocol/frames.ts'
import { findShape } from '../../src/worker/module-shape.ts'

// Packages without types of their own.
const require = createRequire(import.meta.url)
const express = require('express')
const express4 = require('express4')
const Koa = require('koa').default ?? require('koa')

/** An ES module's namespace, as `import()` gives it. */
const namespace = (members: object) => Object.assign(Object.create(null), members, { [Symbol.toStringTag]: 'Module' })
const kindOf = (exported: unknown, type: ModuleType = 'auto') => findShape(exported, type).kind
const fn = (source: string): unknown => new Function(`return (${source})`)()
const byDefault = (source: string) => namespace({ default: fn(source) })
const marked = Object.assign(fn('(a, b) => {}') as object, { [Symbol.for('skip-override')]: true })

const rows: [string, unknown, string][] = [
  ['export default { fetch }', namespace({ default: { fetch() {} } }), 'fetch'],
  ['export function fetch', namespace({ fetch() {} }), 'fetch'],
  ['module.exports = { fetch }', { fetch() {} }, 'fetch'],
  ['a Hono app', namespace({ default: new Hono() }), 'fetch'],
  ['a function of a request', byDefault('(request) => 1'), 'fetch'],
  ['a function of nothing', byDefault('() => 1'), 'fetch'],
  ['a function of a request and an environment', byDefault('(request, env) => 1'), 'fetch'],
  ['a function of a request, an environment and a context', byDefault('async (req, env, ctx) => 1'), 'fetch'],
  ['(req, res)', byDefault('(req, res) => 1'), 'handler'],
  ['(req, res, next)', byDefault('(req, res, next) => 1'), 'handler'],
  ['(_request, response)', byDefault('(_request, response) => 1'), 'handler'],
  ['module.exports = (req, res)', fn('(req, res) => 1'), 'handler'],
  ['exports.default of a compiler', { __esModule: true, default: fn('(req, res) => 1') }, 'handler'],
  ['twice default', namespace({ default: { __esModule: true, default: fn('(req, res) => 1') } }), 'handler'],
  ['export const handler', namespace({ handler: fn('(req, res) => 1') }), 'handler'],
  ['an Express 5 app', namespace({ default: express() }), 'handler'],
  ['an Express 4 app', express4(), 'handler'],
  ['a Koa app', namespace({ default: new Koa() }), 'handler'],
  ["Koa's callback", namespace({ default: new Koa().callback() }), 'handler'],
  ['a server', namespace({ default: http.createServer() }), 'server'],
  ['a Fastify instance', namespace({ default: fastify() }), 'fastify'],
  ['(fastify, options)', byDefault('async (fastify, options) => {}'), 'plugin'],
  ['(fastify)', byDefault('async (fastify) => {}'), 'plugin'],
  ['(app, opts, done)', byDefault('(app, opts, done) => {}'), 'plugin'],
  ['(instance, { prefix })', byDefault('(instance, { prefix }) => {}'), 'plugin'],
  ['a function marked by fastify-plugin', namespace({ default: marked }), 'plugin'],
  ['(a, b) beside exported options', namespace({ default: fn('(a, b) => {}'), options: {} }), 'plugin'],
  ['(a, b)', byDefault('(a, b) => {}'), 'unclear'],
  ['a class', byDefault('class Site {}'), 'unclear'],
  ['nothing', namespace({}), 'none'],
  ['an empty object', {}, 'none'],
  ['a number', namespace({ default: 42 }), 'none'],
  ['undefined', undefined, 'none'],
  ['other exports', namespace({ start() {}, app: 1 }), 'none'],
]

for (const [name, exported, kind] of rows) {
  test(`takes ${name} for ${kind}`, () => {
    assert.equal(kindOf(exported), kind)
  })
}

test('a said type is taken at its word', () => {
  const unclear = byDefault('(a, b) => {}')

  assert.equal(kindOf(unclear, 'handler'), 'handler')
  assert.equal(kindOf(unclear, 'fastify'), 'plugin')
  assert.equal(kindOf(unclear, 'fetch'), 'fetch')
  assert.equal(kindOf(unclear, 'listen'), 'none')
})

for (const type of ['handler', 'fastify', 'fetch'] as const) {
  test(`a module without anything of type ${type} is told what was expected`, () => {
    const found = findShape(namespace({ default: 42 }), type)

    assert.equal(found.kind, 'unclear')
    assert.match(found.kind === 'unclear' ? found.problem : '', new RegExp(`type = ${type} is set`))
  })
}

test('the message for an unclear function says what to do', () => {
  const found = findShape(byDefault('(a, b) => {}'), 'auto')

  assert.equal(found.kind, 'unclear')
  assert.match(found.kind === 'unclear' ? found.problem : '', /function \(a, b\).*type = handler, or type = fastify/)
})
