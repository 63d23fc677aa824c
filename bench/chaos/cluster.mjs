/**
 * What a person would write without vhostel: `node:cluster` with two workers, each with all sites in it and a Map from
 * Host to handler. The primary starts a worker again when one has ended, and does nothing else. Sites are imported at
 * their first request, and what they do not catch is written to the log, as careful people do.
 *
 *     cluster.mjs FOLDER PORT    FOLDER/sites/NAME/site.mjs or app.mjs answers for NAME.test
 */
import cluster from 'node:cluster'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const WORKERS = 2
const [folder, port] = process.argv.slice(2)

if (cluster.isPrimary) {
  for (let worker = 0; worker < WORKERS; worker++) cluster.fork()
  cluster.on('exit', (worker, code, signal) => {
    console.error(JSON.stringify({ level: 50, msg: `worker ${worker.process.pid} ended: ${signal ?? code}` }))
    cluster.fork()
  })
} else {
  serve()
}

function serve() {
  const sites = new Map()
  process.on('uncaughtException', report)
  process.on('unhandledRejection', report)
  const answer = async (request, response) => {
    const name = request.headers.host.replace(/\.test(:\d+)?$/, '')
    if (!sites.has(name)) sites.set(name, load(name))
    const handler = await sites.get(name)
    await handler(request, response)
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      report(error)
      if (!response.headersSent) response.writeHead(502)
      response.end()
    })
  })
  server.listen(Number(port), '127.0.0.1')
}

async function load(name) {
  const root = join(folder, 'sites', name)
  // A neighbour's handler itself: its adapters are for vhostel.
  const file = ['handler.mjs', 'app.mjs'].map((each) => join(root, each)).find((each) => existsSync(each))
  return (await import(pathToFileURL(file).href)).default
}

function report(error) {
  console.error(JSON.stringify({ level: 50, msg: String(error?.stack ?? error).split('\n')[0] }))
}
