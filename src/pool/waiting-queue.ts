/**
 * A queue whose members may leave it from anywhere: requests that wait for a thread.
 *
 * A ring of places, because a `Set` that changes all the time keeps what was in it from being collected (core/id-table.ts).
 * Who leaves from the middle leaves a gap, which is passed over when it comes to the front.
 *
 * Limits: to find one takes a look at all before it; those that give up are mostly the ones that waited longest. Invariant:
 * the first place of those in use is no gap; a member that has left is referred to by nothing in here.
 */

/** A power of two, as all sizes of the ring. */
const LEAST_PLACES = 16
/** A queue that was longer gives its memory back when it is empty. */
const KEPT_PLACES = 1024

export class WaitingQueue<T> implements Iterable<T> {
  #places: (T | undefined)[] = newPlaces(LEAST_PLACES)
  /** Number of the first place in use, and of the first behind all of them; they only grow while there are any. */
  #head = 0
  #tail = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The one that waited longest. */
  get first(): T | undefined {
    return this.#size === 0 ? undefined : this.#at(this.#head)
  }

  /** Puts one behind all others. */
  add(member: T): void {
    if (this.#tail - this.#head === this.#places.length) this.#refill([...this])
    this.#places[this.#tail++ & (this.#places.length - 1)] = member
    this.#size++
  }

  /** Puts some before all others, in their order. */
  putFirst(members: readonly T[]): void {
    if (members.length > 0) this.#refill([...members, ...this])
  }

  /** @returns whether it was waiting */
  delete(member: T): boolean {
    for (let number = this.#head; number < this.#tail; number++) {
      if (this.#at(number) !== member) continue
      this.#places[number & (this.#places.length - 1)] = undefined
      this.#size--
      this.#closeUp()
      return true
    }
    return false
  }

  /** In the order in which they are next. What is added or leaves meanwhile is seen, or not seen, accordingly. */
  *[Symbol.iterator](): Iterator<T> {
    for (let number = this.#head; number < this.#tail; number++) {
      const member = this.#at(number)
      if (member !== undefined) yield member
    }
  }

  #at(number: number): T | undefined {
    return this.#places[number & (this.#places.length - 1)]
  }

  /** Passes over gaps at the front. */
  #closeUp(): void {
    if (this.#size === 0) {
      this.#head = this.#tail = 0
      if (this.#places.length > KEPT_PLACES) this.#places = newPlaces(LEAST_PLACES)
    } else while (this.#at(this.#head) === undefined) this.#head++
  }

  /** Closes all gaps; leaves room for as many again. */
  #refill(members: readonly T[]): void {
    let places = LEAST_PLACES
    while (places < members.length * 2) places *= 2
    if (places !== this.#places.length) this.#places = newPlaces(places)
    else this.#places.fill(undefined)
    for (const [at, member] of members.entries()) this.#places[at] = member
    this.#head = 0
    this.#tail = this.#size = members.length
  }
}

function newPlaces<T>(count: number): (T | undefined)[] {
  return new Array<T | undefined>(count).fill(undefined)
}
