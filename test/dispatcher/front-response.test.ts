/** What filters see of an answer, over a real server and a real socket. */
import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { createServer } from '../../src/core/node-http.ts'
import type { AnswerFilter, AnswerHead } from '../../src/dispatcher/front-response.ts'
import { FrontResponse } from '../../src/dispatcher/front-response.ts'
import { listenHere } from '../helpers/listen-here.ts'

interface Seen {
  heads: AnswerHead[]
  response?: FrontResponse
}

/** Asks a server that answers so. */
async function ask(
  t: TestContext,
  filters: AnswerFilter[],
  answer: (res: FrontResponse, req: IncomingMessage) => void,
) {
  const seen: Seen = { heads: [] }
  const server = createServer({ ServerResponse: FrontResponse }, (req, res) => {
    seen.response = res
    for (const filter of filters) res.addFilter(filter)
    answer(res, req)
  })
  const response = await fetch(`http://127.0.0.1:${await listenHere(t, server)}/`)
  return { response, text: await response.text(), seen }
}

/** Notes heads, adds a header, and puts a text before the body and one behind it. */
function bracket(open: string, close: string, heads: AnswerHead[] = []): AnswerFilter {
  return {
    onHead: (head) => {
      heads.push({ ...head, headers: [...head.headers] })
      head.headers.push('x-seen', open)
      return (next) => {
        next.write(Buffer.from(open))
        const end = (): void => {
          next.write(Buffer.from(close))
          next.end()
        }
        return { write: (chunk) => next.write(chunk), end }
      }
    },
  }
}

test('without filters an answer is as it was written, and its bytes are counted', async (t) => {
  const { response, text, seen } = await ask(t, [], (res) =>
    res.writeHead(201, 'Made', ['x-a', '1', 'x-a', '2']).end('body'),
  )
  assert.deepEqual(
    [response.status, response.statusText, response.headers.get('x-a'), text],
    [201, 'Made', '1, 2', 'body'],
  )
  assert.equal(seen.response?.bodyBytes, 4)
  assert.ok((seen.response?.headAt ?? 0) > 0)
})

test('bytes are counted and not letters, in whichever encoding a text is written', async (t) => {
  const { text, seen } = await ask(t, [], (res) => {
    res.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
    res.write('für ')
    res.write(Buffer.from('ö').toString('latin1'), 'latin1')
    res.end('€')
  })

  assert.equal(text, 'für ö€')
  assert.equal(seen.response?.bodyBytes, Buffer.byteLength(text))
})

test('a head that leaves before its body has the bytes that it came with', async (t) => {
  for (const headers of [{}, { 'content-length': '4' }]) {
    const name = Buffer.from('für.txt').toString('latin1')
    const { response, text } = await ask(t, [], (res) => {
      res.writeHead(200, { ...headers, 'x-name': name })
      res.flushHeaders()
      setImmediate(() => res.end('body'))
    })

    assert.deepEqual([response.headers.get('x-name'), text], [name, 'body'])
  }
})

test('filters see the head in their order, with what was set before, and the last is nearest to the client', async (t) => {
  const heads: AnswerHead[] = []
  const filters = [bracket('(', ')', heads), bracket('[', ']', heads)]
  const { response, text, seen } = await ask(t, filters, (res) => {
    res.setHeader('x-before', 'set')
    res.setHeader('x-both', 'set')
    res.writeHead(200, { 'x-both': 'given', 'x-list': ['a', 'b'] })
    res.write('one ')
    res.end(Buffer.from('two'))
  })
  assert.equal(text, '[(one two)]')
  assert.deepEqual(heads[0]?.headers, ['x-before', 'set', 'x-both', 'given', 'x-list', 'a', 'x-list', 'b'])
  assert.deepEqual(heads[1]?.headers.slice(-2), ['x-seen', '('])
  assert.equal(response.headers.get('x-seen'), '(, [')
  assert.equal(seen.response?.bodyBytes, text.length)
})

test('a filter sees the head that nobody wrote, and one that may not have a body', async (t) => {
  for (const answer of [(res: FrontResponse) => res.end('body'), (res: FrontResponse) => res.writeHead(304).end()]) {
    const heads: AnswerHead[] = []
    const { response } = await ask(t, [bracket('', '', heads)], answer)
    assert.equal(heads.length, 1)
    assert.equal(heads[0]?.status, response.status)
  }
})

test('an answer counts as ended while its end is still in a filter, and ends once', async (t) => {
  let late: (() => void) | undefined
  const holding: AnswerFilter = {
    onHead: () => (next) => ({ write: (chunk) => next.write(chunk), end: () => (late = () => next.end()) }),
  }
  const { text } = await ask(t, [holding], (res) => {
    res.end('whole')
    assert.equal(res.isEnded, true)
    assert.equal(res.writableEnded, false)
    res.end('again')
    setImmediate(() => late?.())
  })
  assert.equal(text, 'whole')
})

test('an informational answer passes by the filters', async (t) => {
  const heads: AnswerHead[] = []
  const { text } = await ask(t, [bracket('', '', heads)], (res) => {
    res.writeEarlyHints({ link: '</a.css>; rel=preload' })
    res.end('body')
  })
  assert.equal(text, 'body')
  assert.deepEqual(
    heads.map(({ status }) => status),
    [200],
  )
})

test('a filter that has nothing to do with an answer is not asked for its head, unless another has', async (t) => {
  const heads: AnswerHead[] = []
  const asked: (readonly unknown[])[] = []
  const small: AnswerFilter = {
    ...bracket('(', ')', heads),
    isFor: (_status, headers) => {
      asked.push(headers)
      return !headers.includes('small')
    },
  }
  const body = ['content-length', '4']
  const past = await ask(t, [small], (res) => res.writeHead(200, ['x-size', 'small', ...body]).end('body'))
  assert.deepEqual([past.text, heads.length, asked.length], ['body', 0, 1])

  const set = await ask(t, [small], (res) => {
    res.setHeader('x-set', '1')
    res.writeHead(200, ['x-size', 'small']).end('body')
  })
  assert.deepEqual([set.text, heads.length, asked.length], ['(body)', 1, 1])

  const both = await ask(t, [small, bracket('[', ']')], (res) => res.writeHead(200, ['x-size', 'small']).end('body'))
  assert.equal(both.text, '[(body)]')
})
