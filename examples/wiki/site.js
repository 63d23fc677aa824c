/**
 * A wiki: Koa, by its callback. Pages live in memory: they are gone when the site is loaded anew, and a site that is so
 * busy that it runs in several threads would have several wikis. A real one keeps them in a database.
 */
import Koa from 'koa'

const MAX_PAGES = 200
const MAX_TEXT_BYTES = 20_000
const pages = new Map([['home', 'Welcome. Write [[another page]], and follow the link to make it.']])

const app = new Koa()

app.use(async (ctx) => {
  const name = decodeName(ctx.path.slice(1)) || 'home'
  if (ctx.method === 'POST') {
    await save(ctx, name)
    return
  }
  const text = pages.get(name)
  ctx.status = text === undefined ? 404 : 200
  ctx.type = 'html'
  ctx.body = render(name, text ?? '')
})

async function save(ctx, name) {
  if (!pages.has(name) && pages.size >= MAX_PAGES) ctx.throw(507, 'The wiki is full')
  const text = await readForm(ctx)
  pages.set(name, text)
  ctx.status = 303
  ctx.redirect(`/${encodeURIComponent(name)}`)
}

async function readForm(ctx) {
  const chunks = []
  let bytes = 0
  for await (const chunk of ctx.req) {
    bytes += chunk.length
    if (bytes > MAX_TEXT_BYTES) ctx.throw(413, 'This page is too long')
    chunks.push(chunk)
  }
  return new URLSearchParams(Buffer.concat(chunks).toString()).get('text') ?? ''
}

function decodeName(path) {
  try {
    return decodeURIComponent(path).slice(0, 100)
  } catch {
    return ''
  }
}

function render(name, text) {
  const html = escapeHtml(text)
    .replace(/\[\[(.+?)\]\]/g, (_link, page) => `<a href="/${encodeURIComponent(page)}">${page}</a>`)
    .replaceAll('\n', '<br>')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(name)}</title>
<style>
  body { font: 1.1rem/1.6 system-ui; max-width: 38rem; margin: 10vh auto; padding: 0 1rem; color-scheme: light dark }
  textarea { width: 100%; height: 8rem; font: inherit }
</style>
<h1>${escapeHtml(name)}</h1>
<p>${html || 'There is no such page yet.'}</p>
<form method="post"><textarea name="text">${escapeHtml(text)}</textarea><p><button>Save</button> <a href="/">Home</a></form>
`
}

function escapeHtml(text) {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}

export default app.callback()
