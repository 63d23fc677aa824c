// Any Node server will do: vhostel never opens the port, and takes the requests itself.
import { createServer } from 'node:http'

const server = createServer((_request, response) => {
  response.end(`It works, in ${process.env.NODE_ENV}.\n`)
})
server.listen(3000)
