/**
 * A chat: an ordinary server with WebSockets, as it would be run by itself (node server.js). It calls listen() and is
 * not changed for vhostel; the port that it asks for is never opened.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

const PORT = Number(process.env.PORT ?? 3000)
const MAX_MESSAGE_BYTES = 2000
const page = readFileSync(new URL('page.html', import.meta.url))

const server = createServer((req, res) => {
  if (req.url !== '/') {
    res.writeHead(404, { 'content-type': 'text/plain' }).end('Not found\n')
    return
  }
  res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page)
})

const sockets = new WebSocketServer({ server, path: '/socket', maxPayload: MAX_MESSAGE_BYTES })

sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate())
  socket.on('message', (data) => tellAll(String(data)))
  tellAll(`somebody came: there are ${sockets.clients.size} of you`)
})

function tellAll(text) {
  for (const socket of sockets.clients) socket.send(text)
}

server.listen(PORT, () => console.log(`chat listens on ${server.address().port}`))
