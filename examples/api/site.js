/**
 * An API: Hono, an object with fetch(request). Its environment is its own: GREETING comes from [env] in its INI file.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'

const TICKS = 10

const app = new Hono()

app.get('/', (c) =>
  c.json({ greeting: process.env.GREETING, try: ['/time', '/ticks (server-sent events)', 'POST /echo'] }),
)

app.get('/time', (c) => c.json({ time: new Date().toISOString() }))

app.post('/echo', async (c) => c.json({ you: c.req.header('user-agent'), sent: await c.req.text() }))

// Flows at once, one line a second; ends with the client.
app.get('/ticks', (c) =>
  streamSSE(c, async (stream) => {
    for (let tick = 1; tick <= TICKS && !stream.aborted; tick++) {
      await stream.writeSSE({ event: 'tick', data: String(tick) })
      await delay(1000)
    }
  }),
)

export default app
