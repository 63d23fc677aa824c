import { defineHandler } from 'nitro/h3'

export default defineHandler((event) => {
  event.res.headers.set('content-type', 'text/html')
  return `<h1>Rendered for ${event.url.host}, ${process.env.GREETING}</h1>`
})
