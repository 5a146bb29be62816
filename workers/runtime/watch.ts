/** What is watched: the schema of the watch file (venues, chains, wallets, detection thresholds, alert rules, channels). */
import { z } from 'zod'

const address = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/, 'expected an address: 0x and 40 hex digits')
  .transform((text) => text.toLowerCase())
const units: Readonly<Record<string, number>> = {
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
  d: 86_400_000_000,
}

/** A length of time as people write it (`500ms`, `30s`, `10m`, `4h`, `7d`), in microseconds. */
export const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a length of time such as 30s, 10m or 4h')
  .transform((text) => {
    const [, amount, unit = ''] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
    return Number(amount) * (units[unit] ?? NaN)
  })
const symbol = z.string().regex(/^[A-Z0-9]+-[A-Z0-9]+$/, 'expected BASE-QUOTE in capitals, such as BTC-USDT')
const name = z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'expected a name of lower-case letters, digits and dashes')

const Token = z.strictObject({
  address,
  symbol: z.string(),
  decimals: z.int().min(0).max(36),
  /** Rough price, by which sizes are judged; a threshold needs no market data feed. */
  priceUsd: z.number().positive(),
})

const Wallet = z.strictObject({
  address,
  label: z.string(),
  /** exchange wallets of one owner may move any size among themselves unnoticed. */
  kind: z.enum(['exchange', 'bridge', 'mixer', 'sanctioned', 'scam', 'own', 'contract']),
  owner: z.string().optional(),
})

const Chain = z.strictObject({
  chainId: z.int().positive(),
  name,
  /** How many blocks behind the head a block is final; the chain's `finalized` tag is used where it is further. */
  finalityDepth: z.int().min(1).max(128),
  blockTime: duration,
  /** How far ahead of the connector's clock a block may be dated; one further ahead waits. Default: 1m, on a development chain none. */
  maxAhead: duration.optional(),
  native: z.strictObject({
    symbol: z.string(),
    decimals: z.int().min(0).max(36).default(18),
    priceUsd: z.number().positive(),
  }),
  tokens: z.array(Token).default([]),
  wallets: z.array(Wallet).default([]),
  /** Contracts whose every log is published to chain.logs.v1. */
  contracts: z.array(address).default([]),
})

const Venue = z.strictObject({
  symbols: z.array(symbol).min(1),
  /** How far back a feed without a cursor begins. */
  lookback: duration.default(0),
  /** Silence after which a symbol's trades count as stale. */
  staleAfter: duration.default(60_000_000),
})

const fraction = z.number().positive().max(1)
const Detection = z.strictObject({
  priceShock: z.strictObject({ move: fraction.default(0.05), within: duration.default(10_000_000) }).prefault({}),
  whaleTransfer: z.strictObject({ minUsd: z.number().positive().default(1_000_000) }).prefault({}),
  washRing: z
    .strictObject({
      within: duration.default(600_000_000),
      /** How often the tokens must have gone round. */
      rounds: z.int().min(1).default(2),
      /** How alike the amounts of a round must be. */
      tolerance: fraction.default(0.05),
      /** The ring's share of the token's volume within the window. */
      minShare: fraction.default(0.2),
    })
    .prefault({}),
  sandwich: z.strictObject({ minVictims: z.int().min(1).default(1) }).prefault({}),
  addressPoisoning: z
    .strictObject({
      /** Equal hex digits at the front and at the back that make an address a look-alike. */
      prefix: z.int().min(2).default(4),
      suffix: z.int().min(2).default(4),
      /** Up to this size in US dollars a transfer counts as bait. */
      maxUsd: z.number().positive().default(1),
    })
    .prefault({}),
})

const Condition = z.union(
  [
    z.strictObject({ field: z.string(), is: z.union([z.string(), z.number(), z.boolean()]) }),
    z.strictObject({ field: z.string(), in: z.array(z.union([z.string(), z.number()])).min(1) }),
    z.strictObject({ field: z.string(), atLeast: z.number() }),
    z.strictObject({ field: z.string(), atMost: z.number() }),
  ],
  { error: 'expected field and one of is, in, atLeast, atMost' },
)

const Rule = z.strictObject({
  name,
  topic: z.enum(['patterns.matches.v1', 'risk.markets.v1', 'risk.wallets.v1', 'signals.trades.v1']),
  /** All must hold; `field` is a path into the record, such as `facts.usd`. */
  where: z.array(Condition).default([]),
  severity: z.enum(['info', 'warning', 'critical']),
  /** `{field}` places are filled from the record. */
  group: z.string().default('{rule}'),
  title: z.string(),
  text: z.string().default(''),
  /** At most one alert a group and this length of time, by event time. */
  every: duration.default(0),
  channels: z.array(name).min(1),
})

const variable = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'expected the name of an environment variable')
const httpUrl = z.url({ protocol: /^https?$/, error: 'expected a URL of http or https' })

const Channel = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('webhook'),
      url: httpUrl,
      /** Environment variable (or NAME_FILE) that holds the signing secret, whsec_ and base64. */
      secretFrom: variable,
    }),
    z.strictObject({
      kind: z.literal('telegram'),
      /** YAML reads -1001234567890 as a number. */
      chatId: z.union([z.string(), z.int().transform(String)], { error: 'expected a chat id' }),
      /** Environment variable (or NAME_FILE) that holds the bot's token. */
      tokenFrom: variable,
      baseUrl: httpUrl.default('https://api.telegram.org'),
    }),
  ],
  { error: 'expected webhook or telegram' },
)

/** As much of the file as its cross-references need, so that they are checked beside other faults. */
const References = z.object({
  chains: z.array(z.object({ chainId: z.unknown(), name: z.unknown() }).partial().catch({})),
  alerts: z.array(
    z
      .object({ name: z.unknown(), channels: z.array(z.unknown()) })
      .partial()
      .catch({}),
  ),
  channels: z.record(z.string(), z.unknown()),
})

export const WatchSchema = z
  .strictObject({
    venues: z.strictObject({ 'binance-spot': Venue.optional() }).prefault({}),
    chains: z.array(Chain).default([]),
    detection: Detection.prefault({}),
    alerts: z.array(Rule).default([]),
    channels: z.record(name, Channel).default({}),
  })
  .superRefine(checkReferences, { when: ({ value }) => References.safeParse(value).success })

function checkReferences(watch: unknown, issues: z.RefinementCtx): void {
  const { chains, alerts, channels } = References.parse(watch)
  const fault = (path: PropertyKey[], message: string) => issues.addIssue({ code: 'custom', path, message })
  const unique = (list: string, key: string, values: readonly unknown[]) =>
    values.forEach((value, index) => {
      const first = values.indexOf(value)
      if (value === undefined || first === index) return
      fault([list, index, key], `${JSON.stringify(value)} stands in ${list}[${first}] already`)
    })
  const chainIds = chains.map((chain) => chain.chainId)
  const chainNames = chains.map((chain) => chain.name)
  const ruleNames = alerts.map((rule) => rule.name)
  unique('chains', 'chainId', chainIds)
  unique('chains', 'name', chainNames)
  unique('alerts', 'name', ruleNames)
  const known = Object.keys(channels)
  alerts.forEach((rule, index) => {
    rule.channels?.forEach((channel, place) => {
      if (typeof channel !== 'string' || known.includes(channel)) return
      const message = `no channel is called ${channel}; there are: ${known.join(', ') || 'none'}`
      fault(['alerts', index, 'channels', place], message)
    })
  })
}

/** The checked watch file; lengths of time in microseconds, addresses in lower case. */
export type Watch = z.output<typeof WatchSchema>
export type WatchedChain = Watch['chains'][number]
export type AlertRule = Watch['alerts'][number]
export type Channel = Watch['channels'][string]
