export async function POST(request) {
  const body = await request.json()
  return Response.json({ body, agent: request.headers.get('user-agent') }, { status: 201, headers: { 'x-app': 'next' } })
}
