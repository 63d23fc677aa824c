/** A server that trials are run against, with neighbours and the sites that go wrong. */
import type { Fault } from './fault.ts'
import type { Target } from './trial.ts'

export interface Contender extends Target, AsyncDisposable {
  /** The names of the neighbours, all of them served. */
  readonly neighbours: readonly string[]
  /** The file that the neighbours' journal is in. */
  readonly journal: string
  /** The trial of this fault is over: its site is taken away, where that can be done. */
  forget(fault: Fault): void
}
