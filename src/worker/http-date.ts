/**
 * The current time as a `Date` header says it, made once a second.
 */

let text = ''
let validUntilMs = 0

export function httpDate(): string {
  const nowMs = Date.now()
  if (nowMs >= validUntilMs || nowMs < validUntilMs - 1000) {
    text = new Date(nowMs).toUTCString()
    validUntilMs = nowMs - (nowMs % 1000) + 1000
  }
  return text
}
