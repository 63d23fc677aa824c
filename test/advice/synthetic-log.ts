/**
 * An access log of three sites, the same at each run: `blog` is quick, `shop` waits for something, `report` is slow and
 * rare. Run to write it to standard output: `node test/advice/synthetic-log.ts`; docs/advice.md works on it.
 */
import { randomNumbers } from '../../src/advice/access-log.ts'

const START_MS = Date.parse('2026-03-02T10:00:00Z')
const SECONDS = 3600
/** Of each site: its host, requests/s, mean time in s. */
const SITES = [
  ['blog.example', 20, 0.006],
  ['shop.example', 6, 0.12],
  ['report.example', 0.2, 1.5],
] as const
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Lines in nginx's combined format, host in front, `$request_time` behind. Poisson arrivals, exponential times. */
export function syntheticLog(seconds = SECONDS): string[] {
  const random = randomNumbers(42)
  const requests: { endMs: number; host: string; seconds: number }[] = []
  for (const [host, perSecond, meanSeconds] of SITES) {
    let atMs = START_MS
    for (;;) {
      atMs += (-1000 * Math.log(1 - random())) / perSecond
      if (atMs >= START_MS + seconds * 1000) break
      const taken = -meanSeconds * Math.log(1 - random())
      requests.push({ endMs: atMs + taken * 1000, host, seconds: taken })
    }
  }
  requests.sort((a, b) => a.endMs - b.endMs)
  return requests.map(
    ({ endMs, host, seconds: taken }) =>
      `${host} 192.0.2.7 - - [${stamp(endMs)}] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11)" ${taken.toFixed(3)}`,
  )
}

function stamp(ms: number): string {
  const iso = new Date(ms).toISOString()
  return `${iso.slice(8, 10)}/${MONTHS[new Date(ms).getUTCMonth()]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`
}

if (import.meta.main) process.stdout.write(`${syntheticLog().join('\n')}\n`)
