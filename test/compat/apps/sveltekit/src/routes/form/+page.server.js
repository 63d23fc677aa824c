import { fail, redirect } from '@sveltejs/kit'

export const actions = {
  default: async ({ request }) => {
    const form = await request.formData()
    if (!form.get('name')) return fail(400, { missing: true })
    redirect(303, `/form?name=${form.get('name')}`)
  },
}
