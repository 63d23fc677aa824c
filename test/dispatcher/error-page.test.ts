import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueFull, SiteGone, SiteThrottled, SiteUnavailable } from '../../src/core/errors.ts'
import { errorPage } from '../../src/dispatcher/error-page.ts'

const STATUSES = [400, 403, 404, 405, 408, 412, 413, 416, 421, 500, 502, 503, 504]

test('a page is plain text with the status and a sentence', () => {
  assert.deepEqual(errorPage(421), {
    type: 'text/plain; charset=utf-8',
    body: '421 Misdirected Request\nNo site is served here under this name.\n',
  })
})

test('a client that names HTML in Accept gets HTML', () => {
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

  for (const accept of [browser, 'TEXT/HTML', 'application/json, text/html;q=0.5', 'text/html;q=0.01']) {
    const page = errorPage(404, accept)

    assert.equal(page.type, 'text/html; charset=utf-8', accept)
    assert.match(page.body, /^<!doctype html>.*<h1>404 Not Found<\/h1>\n<p>There is no such page here\.<\/p>/s)
  }
})

test('any other client gets text', () => {
  for (const accept of [
    undefined,
    '',
    '*/*',
    'application/json',
    'text/html;q=0',
    'text/html; q=0.0, */*',
    'text/htmlx',
  ]) {
    assert.equal(errorPage(404, accept).type, 'text/plain; charset=utf-8', accept)
  }
})

test('every status that the dispatcher answers with has a sentence', () => {
  for (const status of STATUSES) assert.match(errorPage(status).body, /^\d{3} [^\n]+\n[A-Z][^\n]+\.\n$/)
})

test('a site that cannot be loaded, or is gone, is not said to be busy', () => {
  const busy = errorPage(503, undefined, new QueueFull('shop', 10).code)
  const faulty = [new SiteUnavailable('shop', 'why'), new SiteThrottled('shop', 5), new SiteGone('shop')]
  const pages = faulty.map(({ code }) => errorPage(503, undefined, code).body)

  assert.match(busy.body, /too busy/)
  for (const page of pages) assert.match(page, /^503 Service Unavailable\n[A-Z](?!.*(?:busy|shop|why))[^\n]+\.\n$/)
  assert.match(pages[0] ?? '', /has a fault/)
})

test('a status without a sentence has its name, and an unknown one a page nevertheless', () => {
  assert.equal(errorPage(418).body, "418 I'm a Teapot\n")
  assert.equal(errorPage(599).body, '599 Error\n')
  assert.match(errorPage(418, 'text/html').body, /<h1>418 I'm a Teapot<\/h1>\n<\/html>/)
})
