import { defineHandler } from 'nitro/h3'

export default defineHandler(async (event) => {
  const form = await event.req.formData()
  return [...form].map(([name, value]) => [name, value.size ?? value])
})
