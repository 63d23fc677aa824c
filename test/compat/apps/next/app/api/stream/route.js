export const dynamic = 'force-dynamic'

export function GET() {
  const encoder = new TextEncoder()
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode('data: first\n\n'))
      setTimeout(() => {
        controller.enqueue(encoder.encode('data: second\n\n'))
        controller.close()
      }, 300)
    },
  })
  return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
}
