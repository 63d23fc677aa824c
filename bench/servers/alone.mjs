// The same site as a Node process of its own, as people run it today. Says its port on stdout.
import fastify from 'fastify'
import site from './plugin.mjs'

const app = fastify()
app.register(site)
await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
console.log(app.server.address().port)
