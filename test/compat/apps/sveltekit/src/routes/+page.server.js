export const load = ({ request, cookies }) => {
  const visits = Number(cookies.get('visits') ?? 0) + 1
  cookies.set('visits', String(visits), { path: '/' })
  return { host: request.headers.get('host'), greeting: process.env.GREETING, visits }
}
