import { defineHandler } from 'nitro/h3'

export default defineHandler((event) => {
  event.res.headers.set('content-type', 'text/event-stream')
  const encoder = new TextEncoder()
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode('data: first\n\n'))
      await new Promise((resolve) => setTimeout(resolve, 200))
      controller.enqueue(encoder.encode('data: second\n\n'))
      controller.close()
    },
  })
})
