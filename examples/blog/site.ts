/**
 * A blog: a Fastify plugin in TypeScript, run as it is. Its posts are the files in posts/, read anew for each visitor, so
 * writing one is publishing it.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'

interface Options {
  /** From [options] in the site's INI file. */
  title: string
}

interface Post {
  slug: string
  title: string
  /** The text after the title, one entry a paragraph. */
  paragraphs: string[]
}

const POSTS = join(import.meta.dirname, 'posts')

export default async function blog(fastify: FastifyInstance, { title }: Options): Promise<void> {
  fastify.get('/', async (_request, reply) => {
    const posts = await allPosts()
    const items = posts.map((post) => `<li><a href="/${post.slug}">${escapeHtml(post.title)}</a></li>`)
    return reply.type('text/html').send(page(title, `<h1>${escapeHtml(title)}</h1><ul>${items.join('')}</ul>`))
  })

  fastify.get<{ Params: { slug: string } }>('/:slug', async (request, reply) => {
    const post = (await allPosts()).find(({ slug }) => slug === request.params.slug)
    if (post === undefined) return reply.callNotFound()
    const text = post.paragraphs.map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`).join('\n')
    return reply
      .type('text/html')
      .send(page(post.title, `<h1>${escapeHtml(post.title)}</h1>${text}<p><a href="/">All posts</a></p>`))
  })

  fastify.setNotFoundHandler((_request, reply) =>
    reply.code(404).type('text/html').send(page('Not found', '<h1>Not found</h1><p><a href="/">All posts</a></p>')),
  )
}

/** Newest first: the files begin with their date. */
async function allPosts(): Promise<Post[]> {
  const files = (await readdir(POSTS)).filter((file) => file.endsWith('.txt'))
  return Promise.all(files.sort().reverse().map(readPost))
}

async function readPost(file: string): Promise<Post> {
  const [title = '', ...paragraphs] = (await readFile(join(POSTS, file), 'utf8')).trim().split(/\n\n+/)
  return { slug: file.slice(0, -'.txt'.length), title, paragraphs }
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>body { font: 1.1rem/1.6 Georgia, serif; max-width: 38rem; margin: 10vh auto; padding: 0 1rem; color-scheme: light dark }</style>
${body}
`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}
