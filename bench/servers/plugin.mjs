// The site: one Fastify route that answers 18 bytes of JSON.
export default async function site(fastify) {
  fastify.get('/', async () => ({ hello: 'world!' }))
}
