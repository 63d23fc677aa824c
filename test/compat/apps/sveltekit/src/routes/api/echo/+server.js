import { json } from '@sveltejs/kit'

export const POST = async ({ request }) => json({ bytes: (await request.arrayBuffer()).byteLength }, { status: 201 })
