/**
 * A heap of numbered things that happen at some time: which is the soonest.
 *
 * Invariant: `take` gives them in order of their times, whatever the order in which they were added.
 */
export class Soonest {
  #times = new Float64Array(64)
  #numbers = new Int32Array(64)
  size = 0

  /** Time of the soonest; infinite when there is none. */
  get soonest(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : (this.#times[0] as number)
  }

  add(time: number, number: number): void {
    if (this.size === this.#times.length) this.#grow()
    const times = this.#times
    const numbers = this.#numbers
    let index = this.size++
    while (index > 0) {
      const parent = (index - 1) >> 1
      if ((times[parent] as number) <= time) break
      times[index] = times[parent] as number
      numbers[index] = numbers[parent] as number
      index = parent
    }
    times[index] = time
    numbers[index] = number
  }

  /** Takes the soonest out. @returns its number; -1 when there is none */
  take(): number {
    if (this.size === 0) return -1
    const times = this.#times
    const numbers = this.#numbers
    const taken = numbers[0] as number
    const last = --this.size
    const time = times[last] as number
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= last) break
      if (child + 1 < last && (times[child + 1] as number) < (times[child] as number)) child++
      if ((times[child] as number) >= time) break
      times[index] = times[child] as number
      numbers[index] = numbers[child] as number
      index = child
    }
    times[index] = time
    numbers[index] = numbers[last] as number
    return taken
  }

  #grow(): void {
    const [times, numbers] = [this.#times, this.#numbers]
    this.#times = new Float64Array(2 * times.length)
    this.#numbers = new Int32Array(2 * times.length)
    this.#times.set(times)
    this.#numbers.set(numbers)
  }
}
