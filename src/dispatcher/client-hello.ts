/**
 * What a client offers in the first message of a TLS handshake (RFC 8446 §4.1.2), as far as it decides who answers: the
 * protocols of ALPN (RFC 7301). Node shows them only when the certificate has been chosen already.
 *
 * Pure. Anything that is not as it should be gives `[]`: OpenSSL will say what is wrong with it.
 */

/** Longest ClientHello that is waited for: one record. */
export const MAX_HELLO_BYTES = 16 * 1024 + 5

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const ALPN = 16

/**
 * @param bytes what has come so far
 * @returns the protocols that are offered; undefined while the message is not whole
 */
export function offeredProtocols(bytes: Buffer): string[] | undefined {
  if (bytes.length < 5) return bytes.length > 0 && bytes[0] !== HANDSHAKE ? [] : undefined
  if (bytes[0] !== HANDSHAKE) return []
  const length = bytes.readUInt16BE(3)
  if (bytes.length < 5 + length) return bytes.length >= MAX_HELLO_BYTES ? [] : undefined
  try {
    return protocolsOf(bytes.subarray(5, 5 + length))
  } catch (error) {
    if (error instanceof RangeError) return [] // a length in it leads beyond its end
    throw error
  }
}

function protocolsOf(hello: Buffer): string[] {
  if (hello[0] !== CLIENT_HELLO) return []
  let at = 4 + 2 + 32 // type and length, version, random
  at += 1 + hello.readUInt8(at) // session
  at += 2 + hello.readUInt16BE(at) // ciphers
  at += 1 + hello.readUInt8(at) // compression
  const end = at + 2 + hello.readUInt16BE(at)
  at += 2
  while (at + 4 <= end) {
    const type = hello.readUInt16BE(at)
    const size = hello.readUInt16BE(at + 2)
    if (type === ALPN) return names(hello.subarray(at + 6, at + 4 + size))
    at += 4 + size
  }
  return []
}

function names(list: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at < list.length; at += 1 + list.readUInt8(at)) {
    found.push(list.toString('latin1', at + 1, at + 1 + list.readUInt8(at)))
  }
  return found
}
