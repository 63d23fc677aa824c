/** Upstreams on a unix socket that are there, and accept no more connections at the moment: the kernel refuses those at once. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SiteFixture } from '../helpers/box.ts'
import { startBox } from '../helpers/box.ts'

function site(name: string, socket: string, more = ''): SiteFixture {
  return { ini: `[site]\ndomains = ${name}.test\nupstream = unix:${socket}\n${more}\n` }
}

/** Takes one connection at a time, and one more may wait for that; with a second argument none. */
const SMALL = `import os, socketserver, sys, time
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip(): pass
        time.sleep(0.02)
        self.wfile.write(b'HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
class Server(socketserver.UnixStreamServer): request_queue_size = 0
server = Server(sys.argv[1], Handler)
print('listens', flush=True)
server.serve_forever() if len(sys.argv) == 2 else time.sleep(1000)
`

test('who comes to a socket whose queue is full waits for room there, as long as for any upstream', async (t) => {
  const box = await startBox(t, {})
  const listens = async (...args: string[]): Promise<void> => {
    const program = spawn('/usr/bin/python3', ['-c', SMALL, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => program.kill('SIGKILL'))
    await once(program.stdout, 'data')
  }
  const [small, none] = [join(box.dir, 'small.sock'), join(box.dir, 'none.sock')]
  await Promise.all([listens(small), listens(none, 'none')])
  const sites = {
    small: site('small', small),
    none: site('none', none, '[limits]\ntimeout = 1s\nqueue_timeout = 100ms'),
  }
  for (const [name, one] of Object.entries(sites)) box.addSite(name, one)
  await box.reload()

  const replies = await Promise.all(Array.from({ length: 20 }, () => box.ask('small')))
  const refused = await Promise.all(Array.from({ length: 3 }, () => box.ask('none')))

  assert.deepEqual([...new Set(replies.map(({ text }) => text))], ['ok'])
  assert.deepEqual(refused.map(({ status }) => status).sort(), [502, 502, 504])
  assert.equal(box.output.match(/"site":"small",.*upstream has no room for more connections/g)?.length, 1)
  const line = /"site":"none",.*"status":502,.*no room for more connections \(EAGAIN\): make \[proxy\] connections/
  await box.waitFor(String(line), () => line.test(box.output))
  assert.doesNotMatch(box.output, /upstream failed/)
})
