/** The configuration: environment variables, checked at start with all faults reported at once. */
import { readFileSync } from 'node:fs'
import type { z } from 'zod'
import { abouts, ConfigSchema, type About, type Server } from './config-schema.ts'
import { FatalError } from './errors.ts'
import { nearest } from './nearest.ts'

/** Checked values; a server that the command did not require may be '' (kafkaBrokers: none). */
export type Config = Readonly<z.output<typeof ConfigSchema>>

/** The environment, as process.env is. */
export type Env = Readonly<Record<string, string | undefined>>

interface Variable extends About {
  readonly key: keyof Config
  /** As the environment calls it: kafkaBrokers is KAFKA_BROKERS. */
  readonly name: string
}

const variables: readonly Variable[] = ConfigSchema.keyof().options.map((key) => {
  const about = abouts.get(ConfigSchema.shape[key])
  if (!about) throw new Error(`config-schema.ts says nothing about ${key}`)
  return { key, name: key.replace(/[A-Z]/g, (capital) => `_${capital}`).toUpperCase(), ...about }
})

const sasl = ['KAFKA_SASL_MECHANISM', 'KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD']

/**
 * Reads the configuration. An empty variable counts as not given; a secret NAME may be given as NAME_FILE instead.
 * @param options.require the servers that the command talks to, by default all
 * @throws FatalError that lists every fault with the variable, what was expected and what was given
 */
export function loadConfig(env: Env, options: { readonly require?: readonly Server[] } = {}): Config {
  const required = options.require ?? ['kafka', 'registry', 'database', 'redis']
  const faults: string[] = []
  const given = new Map<string, string>()
  for (const variable of variables) {
    const value = read(variable, env, faults)
    if (value !== undefined) given.set(variable.name, value)
    else if (variable.server && required.includes(variable.server)) {
      faults.push(`${variable.name}: expected ${variable.expected}, got nothing${misspelling(variable.name, env)}`)
    }
  }
  if (sasl.some((name) => given.has(name))) {
    for (const name of sasl.filter((one) => !given.has(one))) {
      faults.push(
        `${name}: expected a value, as ${sasl.filter((one) => given.has(one)).join(' and ')} is given, got none`,
      )
    }
  }
  const parsed = ConfigSchema.safeParse(Object.fromEntries(variables.map(({ key, name }) => [key, given.get(name)])))
  if (!parsed.success) {
    const wrong = new Set(parsed.error.issues.map((issue) => issue.path[0]))
    for (const { name, expected, secret } of variables.filter(({ key }) => wrong.has(key))) {
      faults.push(
        `${name}: expected ${expected}, got ${secret ? 'something else (not shown)' : JSON.stringify(given.get(name))}`,
      )
    }
  }
  if (!parsed.success || faults.length > 0) {
    throw new FatalError('configuration', 'Reading the environment', {
      details: faults.sort((a, b) => a.localeCompare(b)),
      hint: 'see the table of variables in README.md',
    })
  }
  return parsed.data
}

/** Every variable, for the README's table. */
export function describeConfig(): {
  readonly variable: string
  readonly description: string
  readonly default: string
  readonly secret: boolean
}[] {
  return variables.map((variable) => ({
    variable: variable.name,
    description: `${variable.description} (${variable.expected})`,
    default: variable.default ?? (variable.server ? 'required' : ''),
    secret: variable.secret ?? false,
  }))
}

/** The effective values by variable, as text; of secrets no more than scheme, host, port and database are shown. */
export function redacted(config: Config): Record<string, string> {
  return Object.fromEntries(variables.map(({ key, name, secret }) => [name, show(config[key], secret ? mask : String)]))
}

/**
 * A secret that the watch file names, from the environment variable or the file in NAME_FILE.
 * @throws FatalError where there is none
 */
export function readSecret(name: string, env: Env): string {
  const faults: string[] = []
  const value = read({ name, secret: true }, env, faults)
  if (value !== undefined) return value
  throw new FatalError('configuration', `Reading the secret ${name}`, {
    details: faults.length > 0 ? faults : [`neither ${name} nor ${name}_FILE is set`],
  })
}

function read(variable: Pick<Variable, 'name' | 'secret'>, env: Env, faults: string[]): string | undefined {
  const { name, secret } = variable
  const value = env[name]?.trim() || undefined
  const path = secret ? env[`${name}_FILE`]?.trim() || undefined : undefined
  if (path === undefined) return value
  if (value !== undefined) {
    faults.push(`${name}: expected either ${name} or ${name}_FILE, got both`)
    return value
  }
  try {
    const text = readFileSync(path, 'utf8').trim()
    if (text !== '') return text
    faults.push(`${name}_FILE: expected a file that holds the value, got the empty file ${path}`)
  } catch {
    faults.push(`${name}_FILE: expected the path of a readable file, got ${path}`)
  }
  return undefined
}

/** `; is KAFKA_BROKER meant?` where the environment has a variable that looks like the missing one. */
function misspelling(name: string, env: Env): string {
  const known = new Set(variables.map((variable) => variable.name))
  const similar = nearest(
    name,
    Object.keys(env).filter((key) => !known.has(key)),
  )
  return similar === undefined ? '' : `; is ${similar} meant for it?`
}

function show(value: Config[keyof Config] | readonly string[], asText: (text: string) => string): string {
  if (value === undefined) return ''
  if (value instanceof Map) return [...value].map(([chain, urls]) => `${chain}=${show(urls, asText)}`).join(';')
  if (Array.isArray(value)) return value.map(asText).join(',')
  return asText(String(value))
}

/** API keys stand in user names, paths and queries of URLs; only a database's path is harmless. */
function mask(text: string): string {
  if (text === '' || !URL.canParse(text)) return text && '***'
  const { protocol, username, password, host, pathname, search } = new URL(text)
  const harmless = pathname === '/' || /^(postgres|postgresql|redis|rediss):$/.test(protocol)
  const path = harmless ? pathname : '/***'
  return `${protocol}//${username || password ? '***@' : ''}${host}${path}${search && '?***'}`
}
