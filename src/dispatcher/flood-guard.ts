/**
 * Frames of HTTP/2 that cost a client nothing and the server an answer each (PING, SETTINGS: CVE-2019-9512, CVE-2019-9515).
 * nghttp2 ends a connection whose client does not read the answers; this ends that of one that does.
 *
 * Limits: CONTINUATION, RST_STREAM and empty DATA frames are counted by nghttp2 and Node.
 */
import type { ServerHttp2Session } from 'node:http2'
import { H2 } from './stream-socket.ts'

/** Frames in one `WINDOW_MS` beyond which nobody means well: a browser sends a few in a minute. */
const MAX_FRAMES = 200
const WINDOW_MS = 10_000

/** Ends the session, with ENHANCE_YOUR_CALM, when its client sends too many of them. */
export function guardFloods(session: ServerHttp2Session): void {
  let count = 0
  let since = performance.now()
  const note = (): void => {
    const now = performance.now()
    if (now - since > WINDOW_MS) {
      since = now
      count = 0
    }
    if (++count > MAX_FRAMES && !session.destroyed) session.destroy(undefined, H2.enhanceYourCalm)
  }
  session.on('ping', note)
  session.on('remoteSettings', note)
}
