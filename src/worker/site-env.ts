/**
 * `process.env` of a site: an object of its own that behaves as Node's does, which keeps strings only.
 */

/** @param values copied */
export function createSiteEnv(values: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = new Proxy<NodeJS.ProcessEnv>(
    { ...values },
    {
      // What is set on an object made of it (`Object.create(process.env)`, for a program) stays on that.
      set: (target, name, value, receiver) =>
        receiver === env ? setString(target, name, value) : Reflect.set(target, name, value, receiver),
      defineProperty: defineString,
    },
  )
  return env
}

function setString(target: NodeJS.ProcessEnv, name: string | symbol, value: unknown): boolean {
  if (typeof name === 'symbol' || typeof value === 'symbol')
    throw new TypeError('Cannot convert a Symbol value to a string')
  target[name] = String(value)
  return true
}

/** `Object.defineProperty(process.env, …)`: Node takes plain data properties only. */
function defineString(target: NodeJS.ProcessEnv, name: string | symbol, descriptor: PropertyDescriptor): boolean {
  if ('get' in descriptor || 'set' in descriptor) {
    throw new TypeError("'process.env' does not accept an accessor (getter/setter) descriptor")
  }
  return setString(target, name, descriptor.value)
}
