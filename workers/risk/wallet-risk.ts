/** Risk of one wallet from what it does and with whom: factors that add up to a score from 0 to 100. */
import type { RiskFactor, WalletActivity } from '../../schemas/types.ts'
import type { Micros } from '../runtime/definitions.ts'
import { hour, windowStart } from '../windows.ts'

/**
 * The most that each factor can add. Dealing with a sanctioned wallet alone can make a wallet critical; behaviour alone
 * makes it medium at most, since honest wallets behave oddly too.
 */
const weights = {
  'sanctioned-exposure': 75,
  'mixer-exposure': 45,
  'scam-exposure': 30,
  'pass-through': 15,
  velocity: 10,
  'counterparty-fan': 10,
  freshness: 5,
} as const

type FactorName = keyof typeof weights

/** Kinds of wallets that it is a risk to deal with. */
export const flaggedKinds = ['sanctioned', 'mixer', 'scam'] as const
export type FlaggedKind = (typeof flaggedKinds)[number]

/** What nobody can refuse to receive says nothing of the receiver (mixers' dust was sent to the famous in August 2022). */
const dustUsd = 10
const day: Micros = 24 * hour
/** Below this value on the move, passing on and being new are of no interest. */
const notableUsd = 1_000
/** How alike an outflow must be to an inflow, fees taken off, to count as passing it on, and how soon it must follow. */
const passTolerance = 0.1
const passWithin = hour
const rememberedInflows = 16
const rememberedPeers = 32
/** Hours that a wallet must be known before its pace has a baseline. */
const baselineHours = 6

type Peer = [address: string, ts: Micros]

/** What the score of one wallet rests on; plain data. */
export interface WalletState {
  firstSeen: Micros
  totalUsd: number
  receivedUsd: number
  passedUsd: number
  /** Value dealt with wallets of each flagged kind. */
  exposureUsd: Record<FlaggedKind, number>
  /** Transfers in the current hour, and in all hours before it. */
  hour: Micros
  inHour: number
  before: number
  /** Newest distinct counterparties of a day, oldest first. */
  senders: Peer[]
  receivers: Peer[]
  /** Newest inflows that were not passed on. */
  inflows: { token: string; amount: number; from: string; ts: Micros }[]
}

export const emptyWallet = (): WalletState => ({
  firstSeen: 0,
  totalUsd: 0,
  receivedUsd: 0,
  passedUsd: 0,
  exposureUsd: { sanctioned: 0, mixer: 0, scam: 0 },
  hour: 0,
  inHour: 0,
  before: 0,
  senders: [],
  receivers: [],
  inflows: [],
})

/**
 * Adds a transfer.
 * @param usd its rough value, 0 where the token has no known price
 * @param kind what the watch file says of the counterparty
 */
export function addActivity(state: WalletState, activity: WalletActivity, usd: number, kind: string | undefined): void {
  const { ts, direction, counterparty } = activity
  if (state.firstSeen === 0) state.firstSeen = ts
  countInHour(state, ts)
  if (direction === 'in' && usd < dustUsd) return
  state.totalUsd += usd
  const flagged = flaggedKinds.find((name) => name === kind)
  if (flagged !== undefined) state.exposureUsd[flagged] += usd
  remember(direction === 'in' ? state.senders : state.receivers, counterparty, ts)
  if (direction === 'in') {
    state.receivedUsd += usd
    state.inflows.push({ token: activity.token, amount: Number(activity.amount), from: counterparty, ts })
    if (state.inflows.length > rememberedInflows) state.inflows.shift()
  } else if (isPassedOn(state, activity)) state.passedUsd += usd
}

/**
 * The factors of the score at `ts`, largest weights first. Contributions stop at a sum of 100.
 * @param own what the watch file says of the wallet itself: a listed wallet is fully exposed to its own kind
 */
export function factorsOf(state: WalletState, ts: Micros, own: string | undefined): RiskFactor[] {
  const ageHours = (ts - state.firstSeen) / hour
  const pastHours = (state.hour - windowStart(state.firstSeen, hour)) / hour
  const pace = pastHours < baselineHours ? 0 : state.inHour / Math.max(1, state.before / pastHours)
  const passed = state.passedUsd < notableUsd || state.receivedUsd === 0 ? 0 : state.passedUsd / state.receivedUsd
  const [few = 1, many = 1] = [state.senders.length, state.receivers.length].toSorted((a, b) => a - b)
  const fan = many / Math.max(1, few)
  const young = Math.min(1, Math.max(0, 1 - ageHours / 24)) * ramp(state.totalUsd, notableUsd * 10, notableUsd * 100)
  const measured: [FactorName, value: number, degree: number][] = [
    ...flaggedKinds.map((kind): [FactorName, number, number] => [
      `${kind}-exposure`,
      state.exposureUsd[kind],
      exposureDegree(state.exposureUsd[kind], state.totalUsd, own === kind),
    ]),
    ['pass-through', passed, ramp(passed, 0.5, 0.95)],
    ['velocity', pace, ramp(pace, 3, 10)],
    ['counterparty-fan', fan, ramp(fan, 5, 20)],
    ['freshness', ageHours, young],
  ]
  let left = 100
  return measured.map(([name, value, degree]) => {
    const contribution = Math.min(left, cents(weights[name] * degree))
    left = cents(left - contribution)
    return { name, value, weight: weights[name], contribution }
  })
}

/** Sum of the contributions. */
export const scoreOf = (factors: readonly RiskFactor[]): number =>
  cents(factors.reduce((sum, factor) => sum + factor.contribution, 0))

/** The name of a score's quarter. */
export const levelOf = (score: number): string =>
  score >= 75 ? 'critical' : score >= 50 ? 'high' : score >= 25 ? 'medium' : 'low'

/** Any dealing counts half, the rest by its share of all that the wallet moved. */
const exposureDegree = (exposed: number, total: number, listed: boolean): number =>
  listed ? 1 : exposed > 0 && total > 0 ? 0.5 + (0.5 * exposed) / total : 0

/** 0 up to `from`, 1 from `to` on, a straight line between. */
const ramp = (value: number, from: number, to: number): number => Math.min(1, Math.max(0, (value - from) / (to - from)))

const cents = (value: number): number => Math.round(value * 100) / 100

function countInHour(state: WalletState, ts: Micros): void {
  const start = windowStart(ts, hour)
  if (start > state.hour) {
    state.before += state.inHour
    state.inHour = 0
    state.hour = start
  }
  state.inHour += 1
}

/** Moves a counterparty to the end of the list, which forgets what is a day old or too much. */
function remember(peers: Peer[], address: string, ts: Micros): void {
  const known = peers.findIndex(([peer]) => peer === address)
  if (known >= 0) peers.splice(known, 1)
  peers.push([address, ts])
  while (peers.length > rememberedPeers || (peers[0] !== undefined && peers[0][1] < ts - day)) peers.shift()
}

/** Whether an outflow hands on to somebody else what came in shortly before; if so that inflow is used up. */
function isPassedOn(state: WalletState, { token, amount, counterparty, ts }: WalletActivity): boolean {
  const match = state.inflows.findIndex(
    (inflow) =>
      inflow.token === token &&
      inflow.from !== counterparty &&
      ts - inflow.ts <= passWithin &&
      Math.abs(Number(amount) - inflow.amount) <= passTolerance * inflow.amount,
  )
  if (match >= 0) state.inflows.splice(match, 1)
  return match >= 0
}
