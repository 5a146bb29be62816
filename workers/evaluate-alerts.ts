/** Evaluates the watch file's alert rules on risk, patterns and signals. */
import { topics } from '../schemas/topics.ts'
import type { Alert, MarketRisk, PatternMatch, TradeSignal, WalletRisk } from '../schemas/types.ts'
import { emptyCooldowns, mayTell, type Cooldowns } from './alerts/cooldown.ts'
import { defineProcessor, type Draft, type Topic } from './runtime/definitions.ts'
import type { AlertRule, Watch } from './runtime/watch.ts'
import { hour } from './windows.ts'

type Source = PatternMatch | MarketRisk | WalletRisk | TradeSignal

/** Texts and the paths of fields between them. */
type Template = readonly (string | readonly string[])[]

/** A rule whose paths and templates were taken apart once, when the watch file was read. */
interface Rule {
  readonly rule: AlertRule
  readonly where: readonly { readonly path: readonly string[]; readonly test: AlertRule['where'][number] }[]
  readonly group: Template
  readonly title: Template
  readonly text: Template
}

/** Rules by topic. */
type Rules = Readonly<Record<string, readonly Rule[]>>

const labelFields = ['pattern', 'subject', 'strategy', 'direction', 'level', 'venue', 'symbol', 'chainId', 'wallet']
const sources: readonly Topic<Source>[] = [
  topics.patternsMatches,
  topics.riskMarkets,
  topics.riskWallets,
  topics.signalsTrades,
]

/**
 * Risk, patterns and signals → alerts. A rule's `every` is kept for each key of the topic that it reads: a group that spans
 * several keys (`{rule}` alone, say) gets one alert a key and that length of time. A key remembers some thousand groups.
 */
export const evaluateAlerts = defineProcessor<Source, Cooldowns, Rules>({
  name: 'evaluate-alerts',
  module: import.meta.url,
  inputs: sources,
  outputs: [topics.alertsFired],
  state: { version: 2, empty: emptyCooldowns, migrate: emptyCooldowns, expiresAfter: 30 * 24 * hour },
  settings: rulesByTopic,
  process(record, state, emit, at) {
    const rules = at.settings[at.topic] ?? []
    const everyOf = (name: string) => rules.find(({ rule }) => rule.name === name)?.rule.every
    for (const rule of rules) {
      if (!rule.where.every(({ path, test }) => holds(test, fieldOf(record, path)))) continue
      const alert = alertOf(rule, record, at.topic)
      if (mayTell(state, alert.rule, alert.group, alert.ts, everyOf)) emit(topics.alertsFired, alert)
    }
  },
})

function rulesByTopic({ alerts }: Watch): Rules {
  const rules: Record<string, Rule[]> = {}
  for (const rule of alerts) {
    const where = rule.where.map((test) => ({ path: test.field.split('.'), test }))
    const [group, title, text] = [parse(rule.group), parse(rule.title), parse(rule.text)]
    rules[rule.topic] = [...(rules[rule.topic] ?? []), { rule, where, group, title, text }]
  }
  return rules
}

/** `{a.b} fell` → [['a', 'b'], ' fell'] */
const parse = (text: string): Template =>
  text.split(/\{([\w.]+)\}/).map((part, index) => (index % 2 === 0 ? part : part.split('.')))

/** The value at a path of own fields; undefined where there is none. */
function fieldOf(record: object, path: readonly string[]): unknown {
  let value: unknown = record
  for (const name of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
  }
  return value
}

/** Facts are texts: a number is compared with what they say. */
function holds(test: AlertRule['where'][number], value: unknown): boolean {
  if ('is' in test) return equals(value, test.is)
  if ('in' in test) return test.in.some((wanted) => equals(value, wanted))
  const number = numberOf(value)
  return 'atLeast' in test ? number >= test.atLeast : number <= test.atMost
}

const equals = (value: unknown, wanted: string | number | boolean): boolean =>
  value === wanted || (typeof wanted === 'number' && numberOf(value) === wanted)

/** NaN, which no condition holds for, where the value is no number, or none that is finite. */
function numberOf(value: unknown): number {
  const number =
    typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? Number(value) : NaN
  return Number.isFinite(number) ? number : NaN
}

function fill(template: Template, record: object, rule: AlertRule): string {
  const known = { ...record, rule: rule.name, severity: rule.severity, topic: rule.topic }
  const text = template.map((part) => (typeof part === 'string' ? part : wordsOf(fieldOf(known, part)))).join('')
  return withoutNul(text)
}

/** No database takes NUL in a text. */
const withoutNul = (text: string): string => text.replaceAll('\0', '')

/** Six significant digits of a measured number are enough for people; whole numbers stay whole. */
function wordsOf(value: unknown): string {
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toPrecision(6)))
  if (typeof value === 'string' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return value.map(wordsOf).join(', ')
  return value === null || value === undefined ? 'n/a' : JSON.stringify(value)
}

function alertOf({ rule, group, title, text }: Rule, record: Source, topic: string): Draft<Alert> {
  const labels: Record<string, string> = {}
  for (const name of labelFields) {
    const value = fieldOf(record, [name])
    if (typeof value === 'string' || typeof value === 'number') labels[name] = withoutNul(String(value))
  }
  return {
    id: `${rule.name}:${record.id}`,
    rule: rule.name,
    severity: rule.severity,
    group: fill(group, record, rule),
    ts: record.ts,
    title: fill(title, record, rule),
    text: fill(text, record, rule),
    channels: rule.channels,
    sourceTopic: topic,
    sourceId: record.id,
    labels,
  }
}
