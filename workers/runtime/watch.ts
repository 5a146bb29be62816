/** What is watched: the schema of the watch file (venues, chains, wallets, detection thresholds, alert rules, channels). */
import { z } from 'zod'

const address = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/, 'expected an address: 0x and 40 hex digits')
  .transform((text) => text.toLowerCase())
const units = { ms: 1_000, s: 1_000_000, m: 60_000_000, h: 3_600_000_000, d: 86_400_000_000 } as const

/** A length of time as people write it (`500ms`, `30s`, `10m`, `4h`, `7d`), in microseconds. */
export const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a length of time such as 30s, 10m or 4h')
  .transform((text) => {
    const [, amount = '0', unit = 's'] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
    return Number(amount) * (unit in units ? units[unit as keyof typeof units] : units.s)
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
  native: z.strictObject({ symbol: z.string(), decimals: z.int().default(18), priceUsd: z.number().positive() }),
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
  priceShock: z
    .strictObject({ move: fraction.default(0.05), within: duration.default(10_000_000) })
    .prefault({}),
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

const Condition = z.union([
  z.strictObject({ field: z.string(), is: z.union([z.string(), z.number(), z.boolean()]) }),
  z.strictObject({ field: z.string(), in: z.array(z.union([z.string(), z.number()])).min(1) }),
  z.strictObject({ field: z.string(), atLeast: z.number() }),
  z.strictObject({ field: z.string(), atMost: z.number() }),
])

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

const Channel = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('webhook'),
    url: z.url(),
    /** Environment variable (or NAME_FILE) that holds the signing secret, whsec_ and base64. */
    secretFrom: z.string(),
  }),
  z.strictObject({
    kind: z.literal('telegram'),
    chatId: z.string(),
    /** Environment variable (or NAME_FILE) that holds the bot's token. */
    tokenFrom: z.string(),
    baseUrl: z.url().default('https://api.telegram.org'),
  }),
])

export const WatchSchema = z
  .strictObject({
    venues: z.strictObject({ 'binance-spot': Venue.optional() }).prefault({}),
    chains: z.array(Chain).default([]),
    detection: Detection.prefault({}),
    alerts: z.array(Rule).default([]),
    channels: z.record(name, Channel).default({}),
  })
  .superRefine((watch, issues) => {
    watch.alerts.forEach((rule, index) => {
      rule.channels.forEach((channel, place) => {
        if (!(channel in watch.channels)) {
          const message = `no channel is called ${channel}; there are: ${Object.keys(watch.channels).join(', ') || 'none'}`
          issues.addIssue({ code: 'custom', path: ['alerts', index, 'channels', place], message })
        }
      })
    })
  })

/** The checked watch file; lengths of time in microseconds, addresses in lower case. */
export type Watch = z.output<typeof WatchSchema>
export type WatchedChain = Watch['chains'][number]
export type AlertRule = Watch['alerts'][number]
export type Channel = Watch['channels'][string]
