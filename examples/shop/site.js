/**
 * A shop: Express 5, exported and never told to listen. The cart is a cookie, so it does not matter which thread answers.
 */
import express from 'express'

const PRODUCTS = [
  { id: 'tea', name: 'Darjeeling, second flush', cents: 1290 },
  { id: 'pot', name: 'Small iron pot', cents: 4900 },
  { id: 'cup', name: 'Cup without a handle', cents: 850 },
]
const MAX_CART = 50

const app = express()
app.use(express.urlencoded({ extended: false }))

app.get('/', (_req, res) => {
  const rows = PRODUCTS.map(
    ({ id, name, cents }) => `<tr><td>${name}<td>${money(cents)}
      <td><form method="post" action="/cart"><button name="id" value="${id}">Add</button></form>`,
  )
  res.send(page('Shop', `<table>${rows.join('')}</table><p><a href="/cart">Cart</a>`))
})

app.get('/products.json', (_req, res) => {
  res.json(PRODUCTS)
})

app.get('/cart', (req, res) => {
  const items = cartOf(req).map((id) => PRODUCTS.find((product) => product.id === id))
  const total = items.reduce((sum, { cents }) => sum + cents, 0)
  const list = items.map(({ name, cents }) => `<li>${name}, ${money(cents)}</li>`)
  res.send(page('Cart', `<ul>${list.join('')}</ul><p>Total: ${money(total)}<p><a href="/">Shop</a>`))
})

app.post('/cart', (req, res) => {
  const cart = cartOf(req)
  if (isProduct(req.body?.id) && cart.length < MAX_CART) cart.push(req.body.id)
  res.cookie('cart', cart.join('.'), { httpOnly: true, sameSite: 'lax' })
  res.redirect(303, '/cart')
})

/** Only what is sold here: the cookie is the client's to write. */
function cartOf(req) {
  const value = /(?:^|;\s*)cart=([^;]*)/.exec(req.headers.cookie ?? '')?.[1] ?? ''
  return value.split('.').filter(isProduct).slice(0, MAX_CART)
}

function isProduct(id) {
  return PRODUCTS.some((product) => product.id === id)
}

function money(cents) {
  return `€ ${(cents / 100).toFixed(2)}`
}

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
  body { font: 1.1rem/1.6 system-ui; max-width: 34rem; margin: 10vh auto; padding: 0 1rem; color-scheme: light dark }
  td { padding: .3rem 1.2rem .3rem 0 } form { margin: 0 }
</style>
<h1>${title}</h1>
${body}
`
}

export default app
