// The floor: node:http with nothing on it. Says its port on stdout.
import { createServer } from 'node:http'

const BODY = '{"hello":"world!"}'

const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': BODY.length })
  response.end(BODY)
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => console.log(server.address().port))
