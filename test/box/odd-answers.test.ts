/**
 * Upstreams that answer oddly, or stop: what reaches the client all the same, and what the log says to who has to find out.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Box, SiteFixture } from '../helpers/box.ts'
import { DEADLINE_MS, startBox } from '../helpers/box.ts'

/** Calls `onRequest` for each read of a connection. @returns the site before it */
async function siteOf(
  t: TestContext,
  name: string,
  onRequest: (socket: Socket, count: number) => void,
  more = '',
): Promise<SiteFixture> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    let count = 0
    sockets.add(socket)
    socket.on('error', () => {}).on('data', () => onRequest(socket, count++))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { ini: `[site]\ndomains = ${name}.test\nupstream = http://127.0.0.1:${port}\n${more}` }
}

/** Asks for an upgrade. @returns all that comes back */
function upgrade(box: Box, site: string): Promise<string> {
  return readAll(box, `GET / HTTP/1.1\r\nHost: ${site}.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
}

/** Sends bytes. @param onText is given what has come so far, @returns all that comes back until the connection ends */
async function readAll(box: Box, bytes: string, onText?: (text: string) => void): Promise<string> {
  const socket = connect(box.port, '127.0.0.1')
  let text = ''
  socket
    .on('error', () => {})
    .on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      onText?.(text)
    })
  socket.setTimeout(DEADLINE_MS, () => socket.destroy())
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

test('the answer to an upgrade that is refused arrives, as that to any other request', async (t) => {
  const long = 'a'.repeat(60_000)
  const answers = {
    large: `HTTP/1.1 401 No\r\nX-A: ${long}\r\nContent-Length: 2\r\n\r\nno`,
    none: 'HTTP/1.1 204 No Content\r\n\r\nhello',
    more: 'HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno, never',
  }
  const sites: Record<string, SiteFixture> = {}
  for (const [name, answer] of Object.entries(answers)) {
    sites[name] = await siteOf(t, name, (socket) => socket.write(answer, 'latin1'))
  }
  const box = await startBox(t, sites)

  const large = await upgrade(box, 'large')
  assert.ok(large.startsWith(`HTTP/1.1 401 No\r\nX-A: ${long}\r\n`), large.slice(0, 200))
  assert.match(await upgrade(box, 'none'), /^HTTP\/1\.1 204 No Content\r\n[\s\S]*\r\n\r\n$/)
  assert.match(await upgrade(box, 'more'), /^HTTP\/1\.1 403 No\r\n[\s\S]*\r\n\r\nno$/)
  const { sites: told } = await box.status()
  assert.deepEqual(
    told.map(({ state, problems, inFlight }) => [state, problems, inFlight]),
    told.map(() => ['live', [], 0]),
  )
})

test('the log says why an answer is none, and which setting ended one', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  const sites = {
    stops: await siteOf(
      t,
      'stops',
      (socket) => socket.write(ok.replace('Length: 2', 'Length: 9')),
      '[proxy]\nread_timeout = 100ms\n',
    ),
    stalls: await siteOf(
      t,
      'stalls',
      (socket) => socket.write(ok.replace('Length: 2', 'Length: 9')),
      '[proxy]\nread_timeout = 100ms\n',
    ),
    goeson: await siteOf(t, 'goeson', (socket) => socket.write(`HTTP/1.1 100 Continue\r\n\r\n${ok}`)),
    switches: await siteOf(t, 'switches', (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\nhello')),
    forgets: await siteOf(t, 'forgets', (socket, count) => (count === 0 ? socket.write(ok) : socket.destroy())),
  }
  const box = await startBox(t, sites)
  const told = (line: RegExp): Promise<void> => box.waitFor(String(line), () => line.test(box.output))

  await assert.rejects(box.ask('stops'))
  await told(/"site":"stops",.* paused within its answer for longer than \[proxy\] read_timeout/)
  assert.match(await upgrade(box, 'stalls'), /\r\n\r\nok$/)
  await told(/"site":"stalls",.* paused within its answer for longer than \[proxy\] read_timeout/)

  assert.equal((await box.ask('goeson')).status, 502)
  await told(/site 'goeson': http:\/\/[\d.:]+ answered with 100 Continue, which nobody asked for/)
  assert.equal((await box.ask('switches')).status, 502)
  await told(/site 'switches': http:\/\/[\d.:]+ answered with 101 Switching Protocols, which nobody asked for/)

  assert.equal((await box.ask('forgets')).status, 200)
  assert.equal((await box.ask('forgets', '/', { method: 'POST', body: 'x' })).status, 502)
  await told(
    /site 'forgets': http:\/\/[\d.:]+ ended the connection .*; it was a kept one: .* make \[proxy\] keepalive shorter/,
  )
})

test('early hints without end are no answer, and none of them is kept for a client that does not read', async (t) => {
  const hint = `HTTP/1.1 103 Early Hints\r\nLink: </${'a'.repeat(200)}.css>; rel=preload\r\n\r\n`
  const some = hint.repeat(900)
  const sites = {
    endless: await siteOf(t, 'endless', (socket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(some));
      }
      socket.on('drain', more)
      more()
    }),
    many: await siteOf(t, 'many', (socket) => socket.write(`${some}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`)),
  }
  const box = await startBox(t, sites)

  const { status } = await box.ask('endless')
  const bytes = await readAll(box, 'GET / HTTP/1.1\r\nHost: many.test\r\nConnection: close\r\n\r\n')

  assert.equal(status, 502)
  await box.waitFor('a line', () =>
    /"site":"endless",.*"reason":"the site sent 1000 answers with 1xx and went on/.test(box.output),
  )
  assert.match(bytes, /\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/)
  assert.ok(bytes.length > 32 * 1024 && bytes.length < 80 * 1024, `${bytes.length} bytes`)
})

test('a reason in another alphabet does not cost the answer, nor does a status that is none look like another', async (t) => {
  const answer = (line: string): Buffer => Buffer.from(`HTTP/1.1 ${line}\r\nContent-Length: 2\r\n\r\nok`)
  const sites = {
    utf8: await siteOf(t, 'utf8', (socket) => socket.write(answer('404 Не найдено ✓'))),
    latin1: await siteOf(t, 'latin1', (socket) =>
      socket.write(Buffer.from(answer('200 Sch\xf6n').toString('utf8'), 'latin1')),
    ),
    low: await siteOf(t, 'low', (socket) => socket.write(answer('099 Odd'))),
  }
  const box = await startBox(t, sites)
  const get = (site: string): Promise<string> =>
    readAll(box, `GET / HTTP/1.1\r\nHost: ${site}.test\r\nConnection: close\r\n\r\n`)

  assert.match(Buffer.from(await get('utf8'), 'latin1').toString(), /^HTTP\/1\.1 404 Не найдено ✓\r\n[\s\S]*ok$/)
  assert.match(await get('latin1'), /^HTTP\/1\.1 200 \r\n[\s\S]*ok$/)
  assert.match(await get('low'), /^HTTP\/1\.1 502 /)
  await box.waitFor('a line', () => /"site":"low",.* answered with status 99, which is not final/.test(box.output))
})

test('of several upstreams one that lets two requests in a row wait for nothing is passed over', async (t) => {
  const mute = await siteOf(t, 'mute', () => {})
  const good = await siteOf(t, 'good', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  const upstreamOf = ({ ini = '' }: SiteFixture): string => /upstream = (.*)/.exec(ini)?.[1] ?? ''
  const of = (name: string, upstreams: string): SiteFixture => ({
    ini: `[site]\ndomains = ${name}.test\nupstream = ${upstreams}\n[limits]\ntimeout = 100ms\n`,
  })
  const box = await startBox(t, {
    alone: of('alone', upstreamOf(mute)),
    both: of('both', `${upstreamOf(mute)}, ${upstreamOf(good)}`),
  })

  for (let late = 0; late < 2; ) if ((await box.ask('both')).status === 504) late++
  for (let late = 0; late < 2; late++) assert.equal((await box.ask('alone')).status, 504)

  const line = /"site":"both","upstream":"[^"]*","why":"Headers Timeout Error","restMs":1000,.*upstream failed/
  await box.waitFor(String(line), () => line.test(box.output))
  assert.equal(box.output.match(/upstream failed/g)?.length, 1)
  const [alone, both] = await Promise.all([box.site('alone'), box.site('both')])
  assert.deepEqual([alone?.state, alone?.problems, both?.state, both?.problems.length], ['live', [], 'live', 1])
})

test('an answer that only the end of its connection ends is not whole where that failed, and is not kept', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n'
  const open: Socket[] = []
  const sites = {
    endless: await siteOf(
      t,
      'endless',
      (socket) => socket.write(`${head}\r\nhalf`) && open.push(socket),
      'cache = on\n',
    ),
    known: await siteOf(
      t,
      'known',
      (socket) => socket.write(`${head}Content-Length: 4\r\n\r\nhalf`) && open.push(socket),
    ),
  }
  const box = await startBox(t, sites)
  const get = (site: string): Promise<string> =>
    readAll(box, `GET / HTTP/1.1\r\nHost: ${site}.test\r\nConnection: close\r\n\r\n`, (text) => {
      if (text.includes('half')) for (const socket of open.splice(0)) socket.resetAndDestroy()
    })

  for (let count = 0; count < 2; count++) {
    const text = await get('endless')
    assert.match(text, /Cache-Status: vhostel; fwd=uri-miss[\s\S]*\r\n\r\n4\r\nhalf\r\n$/)
  }
  assert.match(await get('known'), /\r\n\r\nhalf$/)
  await box.waitFor('a line', () =>
    /"site":"endless",.* ended its answer in the middle: read ECONNRESET/.test(box.output),
  )
  assert.doesNotMatch(box.output, /"site":"known"/)
})

test('the log says what people get wrong about an upstream', async (t) => {
  const of = (name: string, upstream: string): SiteFixture => ({
    ini: `[site]\ndomains = ${name}.test\nupstream = ${upstream}\n`,
  })
  const box = await startBox(t, {
    closes: await siteOf(t, 'closes', (socket) => socket.end()),
    speaks: await siteOf(t, 'speaks', (socket) => socket.write('SSH-2.0-OpenSSH\r\n')),
    broken: await siteOf(t, 'broken', (socket) => socket.write('HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n')),
    nowhere: of('nowhere', 'unix:/nowhere/app.sock'),
    nobody: of('nobody', 'http://nobody.invalid'),
  })
  const lines = {
    closes:
      /before its answer \(other side closed\); it never answered yet: does it speak HTTP\/1\.1 there, and not TLS/,
    speaks: /what is not good HTTP \(.*\); it never answered yet: does it speak HTTP\/1\.1 there/,
    broken: /what is not good HTTP \([^)]*Invalid header token\)\)"/,
    nowhere: /cannot be reached \(ENOENT\): there is no such socket"/,
    nobody: /cannot be reached \((ENOTFOUND\): there is no such name|EAI_AGAIN\): no name server answered)"/,
  }

  for (const [name, line] of Object.entries(lines)) {
    assert.equal((await box.ask(name)).status, 502, name)
    const told = new RegExp(`"reason":"site '${name}': .*${line.source}`)
    await box.waitFor(String(told), () => told.test(box.output))
  }
})
