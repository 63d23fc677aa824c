/**
 * The light Request and Response in the hands of code that takes them for Node's own: classes made of them, the real
 * objects behind them, bodies that are read, used up or left alone.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { siteLoader } from '../helpers/site-files.ts'
import type { DrivenThread } from '../helpers/thread-driver.ts'
import { shareThread } from '../helpers/thread-driver.ts'

let thread: DrivenThread

shareThread((it) => {
  thread = it
})

const site = siteLoader(() => thread, 'main.mjs')

test('an object is an instance of a class made of Request or Response only if it is one', async (t) => {
  const of = await site(
    t,
    `class OwnRequest extends Request {}
     class OwnResponse extends Response { extra = 1 }
     export default async (request) => Response.json({
       request: [request instanceof Request, request instanceof OwnRequest],
       ownRequest: [new OwnRequest(request) instanceof Request, new OwnRequest(request) instanceof OwnRequest],
       response: [new Response('') instanceof Response, new Response('') instanceof OwnResponse],
       json: [Response.json(1) instanceof Response, Response.json(1) instanceof OwnResponse],
       ownResponse: [new OwnResponse('') instanceof Response, new OwnResponse('') instanceof OwnResponse],
       none: [null instanceof Request, 'text' instanceof Response, {} instanceof OwnResponse],
     })`,
  )

  const reply = await thread.get(of)

  assert.deepEqual(reply.json, {
    request: [true, false],
    ownRequest: [true, true],
    response: [true, false],
    json: [true, false],
    ownResponse: [true, true],
    none: [false, false, false],
  })
})

test('the classes have the members of Node’s, as own ones that can be listed', async (t) => {
  const of = await site(
    t,
    `const own = (it) => Object.entries(Object.getOwnPropertyDescriptors(it)).map(([key, { enumerable }]) => [key, enumerable])
     const inherited = (it) => { const keys = []; for (const key in it) keys.push(key); return keys.sort() }
     // As srvx and others do, for objects that make a real one when it is needed.
     class Lazy { #real; get real() { return (this.#real ??= new Request('http://a/', { method: 'POST', body: 'a=1' })) } }
     for (const key of Object.getOwnPropertyNames(Request.prototype)) {
       if (typeof Object.getOwnPropertyDescriptor(Request.prototype, key).value !== 'function') continue
       if (key !== 'constructor') Lazy.prototype[key] = function () { return this.real[key]() }
     }
     Object.setPrototypeOf(Lazy.prototype, Request.prototype)
     export default async (request) => Response.json({
       own: [own(Request.prototype).sort(), own(Response.prototype).sort()],
       inherited: [inherited(request), inherited(new Request('http://a/')), inherited(new Response())],
       tags: [String(request), String(new Response())],
       lazy: await new Lazy().text(),
     })`,
  )
  const own = (it: object): unknown[] =>
    Object.entries(Object.getOwnPropertyDescriptors(it)).map(([key, { enumerable }]) => [key, enumerable])
  const inherited = (it: object): string[] => {
    const keys: string[] = []
    for (const key in it) keys.push(key)
    return keys.sort()
  }
  const [request, response] = [inherited(new Request('http://a/')), inherited(new Response())]

  const reply = await thread.get(of)

  assert.deepEqual(reply.json, {
    own: [own(Request.prototype).sort(), own(Response.prototype).sort()],
    inherited: [request, request, response],
    tags: ['[object Request]', '[object Response]'],
    lazy: 'a=1',
  })
})

for (const [what, look] of [
  ['its mode', 'request.mode'],
  ['its body', 'request.body'],
  ['a clone, which is refused', 'try { request.clone() } catch {}'],
  ['a new Request of it, which is refused', 'try { new Request(request) } catch {}'],
] as const) {
  test(`a body that is being read is read to its end, although somebody asks for ${what} meanwhile`, async (t) => {
    const of = await site(
      t,
      `export default async (request) => {
         const reading = request.json()
         ${look}
         return new Response((await reading).n + request.bodyUsed)
       }`,
    )

    const whole = await thread.get(of, '/', { method: 'POST', body: '{"n":"whole "}' })
    const parts = thread.request(of, { method: 'POST', last: false })
    await parts.frame('started')
    parts.send('{"n":')
    parts.send('"parts "}')
    parts.end()
    await parts.over()

    assert.equal(whole.text, 'whole true')
    assert.equal(parts.text, 'parts true')
  })
}

test('a Response whose body somebody else reads is a 500, not an answer that is cut off', async (t) => {
  const of = await site(
    t,
    `const stream = () => new ReadableStream({ start(it) { it.enqueue(Buffer.from('x')); it.close() } })
     export default async () => {
       const response = new Response(stream())
       response.body.getReader()
       return response
     }`,
  )

  assert.equal((await thread.get(of)).status, 500)
})

test('the stream of an answer that comes after its client has gone is told that nobody reads it', async (t) => {
  const of = await site(
    t,
    `export default async (request) => {
       await new Promise((resolve) => request.signal.addEventListener('abort', resolve))
       return new Response(new ReadableStream({ cancel(reason) { console.log('cancelled', reason.name) } }))
     }`,
  )
  const request = thread.request(of)
  await request.frame('started')

  request.abort()

  await thread.log(of, /^cancelled AbortError$/)
})

test('the close of a site waits for what requests of the last moment ask it to wait for', async (t) => {
  const of = await site(
    t,
    `export default {
       async fetch(request, env, ctx) {
         await new Promise((resolve) => setTimeout(resolve, 30))
         ctx.waitUntil(new Promise((resolve) => setTimeout(() => {
           console.log('first')
           ctx.waitUntil(new Promise((end) => setTimeout(() => { console.log('second'); end() }, 30)))
           resolve()
         }, 30)))
         return new Response('done')
       },
     }`,
  )
  const request = thread.request(of)
  await request.frame('started')

  await thread.unload(of)

  assert.equal((await request.over()).text, 'done')
  const lines = thread.logs.filter((line) => line.generation === of).map(({ text }) => text)
  assert.deepEqual(lines, ['first', 'second'])
})
