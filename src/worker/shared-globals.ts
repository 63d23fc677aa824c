/**
 * What all sites of a thread share and none may change for the others: the language's own objects, Node's classes and
 * modules, the global functions. Remembers them as they are before the first site is loaded, sees changes, undoes them.
 *
 * A change is a function or an accessor that is another one or gone, a method put in front of an inherited one, anything
 * new in `Object.prototype` (every object has it), and what shows in `for … in` over arrays and functions. New methods
 * that do not show there are let be: polyfills, `reflect-metadata`, what old middleware adds to requests. Stacks may be made
 * longer, not shorter: that would take the neighbours' from their logs.
 *
 * Limits: other values that are no functions (`EventEmitter.defaultMaxListeners`) and classes that Node loads only when they
 * are used are not watched; a frozen object is seen, but stays frozen. Invariant: `repair` calls nothing that a site can
 * have changed, so it works in a broken thread.
 */
import { EventEmitter } from 'node:events'
import { Server as HttpServer } from 'node:http'
import type { WatchedObject } from './watched-objects.ts'
import { listWatched } from './watched-objects.ts'

/** A change that was found, and undone where that was possible. */
export interface Change {
  /** In words: `patched Array.prototype.push`. */
  text: string
  /** What was put there. */
  value: unknown
  /** Well-known packages do this and need nothing of it: not held against a site. */
  isQuiet: boolean
}

const { defineProperty, deleteProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys, set: assign } = Reflect
const { hasOwn, isExtensible } = Object
const describe = String
type Members = Record<PropertyKey, unknown>

/** One member: its value, or its accessors, and where it was when it was not inherited. */
interface Member {
  owner: Members
  name: string
  key: PropertyKey
  value: unknown
  /** undefined: inherited, so an own one is taken away. */
  descriptor: PropertyDescriptor | undefined
  isQuiet: boolean
}

export class SharedGlobals {
  readonly #objects: readonly WatchedObject[]
  /** Compared by reading them. */
  readonly #values: Member[] = []
  /** Compared by their descriptors, which costs more. */
  readonly #accessors: Member[] = []
  readonly #objectKeys = ownKeys(Object.prototype).length

  /** After everything that vhostel changes itself, before any site is loaded. */
  constructor() {
    this.#objects = listWatched()
    for (const object of this.#objects) this.#remember(object)
  }

  get size(): number {
    return this.#values.length + this.#accessors.length
  }

  /** Undoes every change. Some 0.1 ms. @returns what was changed */
  repair(): Change[] {
    const changes: Change[] = []
    this.#removeAdditions(changes)
    // Not held against anybody: many programs set it for themselves.
    if (!(errorClass.stackTraceLimit >= STACK_DEPTH)) assign(errorClass, 'stackTraceLimit', STACK_DEPTH)
    for (let at = 0; at < this.#values.length; at++) {
      const member = this.#values[at] as Member
      const now = member.owner[member.key]
      if (now === member.value) continue
      // What it inherits has changed: that is put right where it is.
      if (member.descriptor === undefined && !hasOwn(member.owner, member.key)) continue
      restore(member, now, changes)
    }
    for (let at = 0; at < this.#accessors.length; at++) {
      const member = this.#accessors[at] as Member
      const now = getOwnPropertyDescriptor(member.owner, member.key)
      if (now?.get === member.descriptor?.get && now?.set === member.descriptor?.set) continue
      restore(member, now?.value ?? now?.get, changes)
    }
    this.#findFrozen(changes)
    return changes
  }

  #remember({ name, object, inherits, isQuiet = () => false, only }: WatchedObject): void {
    for (const key of only ?? ownKeys(object)) {
      const descriptor = getOwnPropertyDescriptor(object, key)
      if (descriptor === undefined) continue
      const owner = object as Members
      const member = { owner, name: memberName(name, key), key, descriptor, isQuiet: isQuiet(key), value: undefined }
      // What the accessors of these give is what counts: their setters keep a value.
      const isVariable = key === 'process' || key === 'Buffer'
      if (descriptor.get === undefined && descriptor.set === undefined) {
        if (typeof descriptor.value === 'function' || only !== undefined)
          this.#values.push({ ...member, value: descriptor.value })
      } else if (name === 'globalThis' && isVariable) this.#values.push({ ...member, value: owner[key] })
      else this.#accessors.push(member)
    }
    if (inherits) this.#rememberInherited(name, object)
  }

  /** A method of its own in front of an inherited one changes the class as much as a replaced one. */
  #rememberInherited(name: string, object: object): void {
    const owner = object as Members
    for (let from = getPrototypeOf(object); from !== null; from = getPrototypeOf(from)) {
      for (const key of ownKeys(from)) {
        const value = getOwnPropertyDescriptor(from, key)?.value
        if (typeof value !== 'function' || hasOwn(object, key) || owner[key] !== value) continue
        this.#values.push({ owner, name: memberName(name, key), key, value, descriptor: undefined, isQuiet: false })
      }
    }
  }

  #removeAdditions(changes: Change[]): void {
    for (const key in EMPTY_ARRAY) removeAddition('Array.prototype', Array.prototype, key, changes)
    for (const key in emptyFunction) removeAddition('Function.prototype', Function.prototype, key, changes)
    const keys = ownKeys(Object.prototype)
    if (keys.length === this.#objectKeys) return
    for (let at = this.#objectKeys; at < keys.length; at++) {
      removeAddition('Object.prototype', Object.prototype, keys[at] as PropertyKey, changes)
    }
  }

  /** Each is told once. */
  #findFrozen(changes: Change[]): void {
    for (let at = 0; at < this.#objects.length; at++) {
      const watched = this.#objects[at] as WatchedObject
      const { name, object } = watched
      if (!watched.isExtensible || isExtensible(object)) continue
      watched.isExtensible = false
      changes[changes.length] = { text: `froze ${name}, which cannot be undone`, value: undefined, isQuiet: false }
    }
  }
}

const errorClass = Error
/** Node's own. */
const STACK_DEPTH = 10
const EMPTY_ARRAY: unknown[] = []
const emptyFunction = (): void => {}

function memberName(owner: string, key: PropertyKey): string {
  return typeof key === 'symbol' ? `${owner}[${describe(key)}]` : `${owner}.${describe(key)}`
}

function restore(member: Member, value: unknown, changes: Change[]): void {
  const { owner, key, descriptor, name } = member
  const isDone = putBack(member, owner, key, descriptor)
  const text = isDone ? `patched ${name}` : `patched ${name} for good`
  changes[changes.length] = { text, value, isQuiet: member.isQuiet }
}

function putBack({ value }: Member, owner: Members, key: PropertyKey, descriptor?: PropertyDescriptor): boolean {
  if (descriptor === undefined) return deleteProperty(owner, key)
  const isVariable = value !== undefined && descriptor.set !== undefined
  if (isVariable) return assign(owner, key, value)
  return defineProperty(owner, key, descriptor) || assign(owner, key, value)
}

function removeAddition(name: string, owner: object, key: PropertyKey, changes: Change[]): void {
  const descriptor = getOwnPropertyDescriptor(owner, key)
  if (descriptor === undefined) return
  const isDone = deleteProperty(owner, key)
  const text = isDone ? `added ${memberName(name, key)}` : `added ${memberName(name, key)} for good`
  changes[changes.length] = { text, value: descriptor.value ?? descriptor.get, isQuiet: false }
}

// ---- the quick look --------------------------------------------------------------------------------------------------

const { prototype: array } = Array
const { push, pop, shift, unshift, slice, splice, concat, map, filter, forEach, indexOf, includes, join } = array
const arrayIterator = array[Symbol.iterator]
const { prototype: string } = String
const { split, replace, toLowerCase, startsWith } = string
const { prototype: object } = Object
const { hasOwnProperty: objectHasOwn, toString: objectToString } = object
const { prototype: callable } = Function
const { call, apply, bind } = callable
const { get: mapGet, set: mapSet } = Map.prototype
const { then } = Promise.prototype
const { parse, stringify } = JSON
const { emit, on } = EventEmitter.prototype
const { prototype: httpServer } = HttpServer
const { setTimeout: startTimer, setImmediate: startImmediate, Promise: promiseClass } = globalThis

/**
 * Whether what is changed most, and hurts at once, is as it was. Written out, because a loop over names costs ten times
 * as much: bench/shared-globals.ts says how much this costs.
 */
export function looksIntact(): boolean {
  // What shows in `for … in` over arrays and objects.
  for (const _ in EMPTY_ARRAY) return false
  return isArrayIntact() && isLanguageIntact() && isNodeIntact()
}

function isArrayIntact(): boolean {
  return (
    array.push === push &&
    array.pop === pop &&
    array.shift === shift &&
    array.unshift === unshift &&
    array.slice === slice &&
    array.splice === splice &&
    array.concat === concat &&
    array.map === map &&
    array.filter === filter &&
    array.forEach === forEach &&
    array.indexOf === indexOf &&
    array.includes === includes &&
    array.join === join &&
    array[Symbol.iterator] === arrayIterator
  )
}

function isLanguageIntact(): boolean {
  return (
    string.split === split &&
    string.replace === replace &&
    string.toLowerCase === toLowerCase &&
    string.startsWith === startsWith &&
    object.hasOwnProperty === objectHasOwn &&
    object.toString === objectToString &&
    callable.call === call &&
    callable.apply === apply &&
    callable.bind === bind &&
    Map.prototype.get === mapGet &&
    Map.prototype.set === mapSet &&
    promiseClass.prototype.then === then &&
    JSON.parse === parse &&
    JSON.stringify === stringify
  )
}

function isNodeIntact(): boolean {
  return (
    EventEmitter.prototype.emit === emit &&
    EventEmitter.prototype.on === on &&
    httpServer.emit === emit &&
    globalThis.setTimeout === startTimer &&
    globalThis.setImmediate === startImmediate &&
    globalThis.Promise === promiseClass
  )
}
