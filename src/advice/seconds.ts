/**
 * How many requests were open at once, second by second, of requests that come in order of their end: what an access log
 * knows of a server's load. Means of whole seconds: what happens within a second is not in a log.
 *
 * Limit: the last 24 hours, in 2.1 MB. Invariant: a request counts in exactly the seconds that it touched, by its part of
 * each.
 */

const SECONDS = 86_400

export class Seconds {
  /** Of each second: open time of requests that began or ended in it; how many more are open all of it than before. */
  readonly #part = new Float64Array(SECONDS)
  readonly #change = new Float64Array(SECONDS)
  readonly #arrived = new Float64Array(SECONDS)
  /** Sum of the changes of seconds that were dropped. */
  #base = 0
  #first: number | undefined
  /** Of the seconds that are counted, the last one; and the one after it. */
  #last = 0

  /** @param fromMs, toMs Unix time; `toMs` hardly ever goes back */
  add(fromMs: number, toMs: number): void {
    const end = Math.floor(toMs / 1000)
    this.#first ??= end
    this.#reach(end + 1)
    const from = Math.max(fromMs / 1000, this.#oldest())
    const to = Math.max(toMs / 1000, from)
    const begin = Math.floor(from)
    this.#add(this.#arrived, begin, 1)
    if (begin === Math.floor(to)) return this.#add(this.#part, begin, to - from)
    this.#add(this.#part, begin, begin + 1 - from)
    this.#add(this.#part, Math.floor(to), to - Math.floor(to))
    this.#add(this.#change, begin + 1, 1)
    this.#add(this.#change, Math.floor(to), -1)
  }

  /** Time with k requests open, and requests that came while k were, both at index k. @param maxOpen more count as so many */
  busy(sinceMs: number, maxOpen: number): { busyMs: number[]; found: number[] } {
    const busyMs: number[] = []
    const found: number[] = []
    const add = (list: number[], index: number, by: number): void => {
      while (list.length <= index) list.push(0)
      list[index] = (list[index] as number) + by
    }
    let open = this.#base
    for (let second = this.#oldest(); second < this.#last; second++) {
      open += this.#change[second % SECONDS] as number
      if (second < Math.floor(sinceMs / 1000)) continue
      const mean = Math.max(0, open + (this.#part[second % SECONDS] as number))
      const low = Math.min(Math.floor(mean), maxOpen)
      const share = low === maxOpen ? 0 : mean - low
      const arrived = this.#arrived[second % SECONDS] as number
      add(busyMs, low, 1000 * (1 - share))
      add(found, low, arrived * (1 - share))
      if (share > 0) add(busyMs, low + 1, 1000 * share)
      if (share > 0) add(found, low + 1, arrived * share)
    }
    return { busyMs, found }
  }

  #oldest(): number {
    return Math.max(this.#last - SECONDS + 1, (this.#first ?? 0) - 3600)
  }

  /** Makes `second` the last one; those that fall out at the other end are dropped. */
  #reach(second: number): void {
    if (this.#last === 0) this.#last = Math.max(0, second - SECONDS)
    for (let next = Math.max(this.#last + 1, second - SECONDS + 1); next <= second; next++) {
      const slot = next % SECONDS
      this.#base += this.#change[slot] as number
      this.#part[slot] = 0
      this.#change[slot] = 0
      this.#arrived[slot] = 0
    }
    this.#last = Math.max(this.#last, second)
  }

  #add(list: Float64Array, second: number, by: number): void {
    list[second % SECONDS] = (list[second % SECONDS] as number) + by
  }
}
