/**
 * What is under way, by its number: a table for things that come and go thousands of times a second while a few dozen of
 * them are there.
 *
 * Why not a `Map`: one that lives long and changes all the time is copied to a new table every few dozen changes, and the
 * tables that it leaves refer to each other. Once one of them is in the old generation of V8's heap, all that ever was in
 * those after it survives every minor collection, and is moved twice, until the next major one. With 40 things of 1 KB in it
 * at a time, a `Map` causes 66 major collections in 3 s, and this table 2 with 2.5 times as many changes (Node 24.21;
 * `bench/id-table.ts`).
 *
 * Limits: numbers are integers from 0 to 2^32-1; what is best are such that count up. Invariant: a value that was taken out
 * is referred to by nothing in here; at most half of the places are taken.
 */

/** Places of a table that has little in it; a power of two, as all sizes. */
const LEAST_PLACES = 16
/** A table that was larger gives its memory back when nothing is left in it. */
const KEPT_PLACES = 1024

export class IdTable<T extends object> {
  #ids = new Uint32Array(LEAST_PLACES)
  /** Where nothing is, the number in the same place of `#ids` means nothing. */
  #values: (T | undefined)[] = new Array(LEAST_PLACES).fill(undefined)
  #mask = LEAST_PLACES - 1
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): T | undefined {
    return this.#values[this.#placeOf(id)]
  }

  has(id: number): boolean {
    return this.get(id) !== undefined
  }

  /** Puts a value in, in the place of the one of the same number. */
  set(id: number, value: T): void {
    if ((this.#size + 1) * 2 > this.#values.length) this.#resize(this.#values.length * 2)
    const place = this.#placeOf(id)
    if (this.#values[place] === undefined) this.#size++
    this.#ids[place] = id
    this.#values[place] = value
  }

  /** @returns what was taken out, if it was there */
  delete(id: number): T | undefined {
    const place = this.#placeOf(id)
    const value = this.#values[place]
    if (value === undefined) return undefined
    this.#size--
    this.#vacate(place)
    if (this.#size === 0 && this.#values.length > KEPT_PLACES) this.#resize(LEAST_PLACES)
    return value
  }

  clear(): void {
    this.#size = 0
    this.#resize(LEAST_PLACES)
  }

  /** Whether something is true of any that is in it; in no order, and without a copy. */
  some(test: (value: T) => boolean): boolean {
    return this.#size > 0 && this.#values.some((value) => value !== undefined && test(value))
  }

  /** What is in it, with their numbers, by these in ascending order. A copy, so the table may change meanwhile. */
  entries(): [id: number, value: T][] {
    const found: [number, T][] = []
    for (const [place, value] of this.#values.entries()) {
      if (value !== undefined) found.push([this.#ids[place] as number, value])
    }
    return found.sort(([a], [b]) => a - b)
  }

  /** What is in it, by their numbers in ascending order. A copy, so the table may change meanwhile. */
  values(): T[] {
    return this.entries().map(([, value]) => value)
  }

  /** Where a number is, or where it would be. */
  #placeOf(id: number): number {
    const mask = this.#mask
    let place = id & mask
    while (this.#values[place] !== undefined && this.#ids[place] !== id) place = (place + 1) & mask
    return place
  }

  /** Empties a place, and moves up those behind it that were put there because theirs was taken (Knuth 6.4, algorithm R). */
  #vacate(place: number): void {
    const mask = this.#mask
    let empty = place
    for (let at = (place + 1) & mask; this.#values[at] !== undefined; at = (at + 1) & mask) {
      const home = (this.#ids[at] as number) & mask
      if (((at - home) & mask) < ((at - empty) & mask)) continue
      this.#ids[empty] = this.#ids[at] as number
      this.#values[empty] = this.#values[at]
      empty = at
    }
    this.#values[empty] = undefined
  }

  #resize(places: number): void {
    const before = this.#size === 0 ? [] : this.entries()
    this.#ids = new Uint32Array(places)
    this.#values = new Array(places).fill(undefined)
    this.#mask = places - 1
    for (const [id, value] of before) {
      const place = this.#placeOf(id)
      this.#ids[place] = id
      this.#values[place] = value
    }
  }
}
