import { headers } from 'next/headers'
import Counter from './counter'

export default async function Page() {
  const host = (await headers()).get('host')
  return (
    <main>
      <h1>Rendered for {host}</h1>
      <p>{process.env.GREETING}</p>
      <Counter />
    </main>
  )
}
