/**
 * What a request expects before its body is sent (RFC 9110 §10.1.1). Pure.
 */

const EXPECT = 'expect'
const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i

/** Looks in the raw headers, because making `headers` costs more than many a handler. @returns the value; undefined for none */
export function expectationOf(rawHeaders: readonly string[]): string | undefined {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === EXPECT.length && name.toLowerCase() === EXPECT) return rawHeaders[at + 1]
  }
  return undefined
}

/** Whether the body comes after a word of the server only. @param expectation as a client wrote it */
export function isContinue(expectation: string | undefined): boolean {
  return expectation !== undefined && CONTINUE.test(expectation)
}
