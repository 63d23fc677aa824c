/**
 * The environment of a site: its env_file, then [env] over it, with `$NAME` from the server's own environment.
 */
import { parseEnv } from 'node:util'
import type { SiteBeingRead } from './site-reading.ts'
import { addProblem, addWarning, pathOf, readFileOf } from './site-reading.ts'

const VARIABLE = /\$(?:(\$)|\{([^}]*)(?:\}|$)|([A-Za-z_][A-Za-z0-9_]*))/g
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/**
 * The whole environment of a site; problems are added to the site's.
 *
 * @param env the server's environment
 */
export function readEnvironment(site: SiteBeingRead, env: NodeJS.ProcessEnv): Record<string, string> {
  const { env: own, site: keys } = site.checked.value
  const variables = new Map<string, string>()
  if (keys.env_file !== undefined) {
    const text = readFileOf(site, 'site', 'env_file', pathOf(site, keys.env_file))
    // As Node's own `--env-file` reads it.
    for (const [name, value] of Object.entries(parseEnv(text ?? ''))) variables.set(name, value ?? '')
    const isOther = variables.size === 0 && /^[^\S\n]*[^#\s]/m.test(text ?? '')
    if (isOther) addWarning(site, 'site', 'env_file', `${keys.env_file} has no line NAME=value in it`)
  }
  const written = site.document.sections.get('env')?.keys
  for (const [name, text] of Object.entries(own)) {
    const filled = written?.get(name)?.values[0]?.isLiteral === true ? { text } : fillIn(text, env)
    if ('problem' in filled) addProblem(site, 'env', name, filled.problem)
    else variables.set(name, filled.text)
  }
  return Object.fromEntries(variables)
}

/**
 * Fills in `$NAME` and `${NAME}`; `$$` is a dollar sign, and a `$` before anything else stays as it is.
 *
 * @param env the server's environment
 * @returns the text, or what is wrong with it, for a person
 */
function fillIn(text: string, env: NodeJS.ProcessEnv): { text: string } | { problem: string } {
  let problem: string | undefined
  const filled = text.replace(VARIABLE, (found, dollar: string | undefined, braced?: string, plain?: string) => {
    if (dollar !== undefined) return '$'
    const name = braced ?? plain ?? ''
    const isWhole = braced === undefined || found.endsWith('}')
    const value = isWhole && Object.hasOwn(env, name) ? env[name] : undefined
    if (value !== undefined) return value
    problem ??=
      isWhole && NAME.test(name)
        ? `$${name} is not set in the environment of the server: set it there, or write $$ for a dollar sign`
        : `${found} is not a variable (such as \${NAME}): write $$ for a dollar sign`
    return ''
  })
  return problem === undefined ? { text: filled } : { problem }
}
