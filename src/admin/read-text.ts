/**
 * The whole text of a message on the admin socket, question or answer. Limit: the caller's, in bytes; what is larger is not
 * read to its end.
 */
/** @returns undefined where it is longer than `maxBytes` */
export async function readText(message: AsyncIterable<Buffer>, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message) {
    bytes += chunk.length
    if (bytes > maxBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
