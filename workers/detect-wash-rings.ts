/** Finds wallets that pass a token round among themselves to feign volume. */
import { topics } from '../schemas/topics.ts'
import type { ChainTransfer, PatternMatch } from '../schemas/types.ts'
import { percent, walletName } from './patterns/words.ts'
import { findRing, hubsOf, volumeAmong, type Hop, type Ring } from './patterns/wash-ring.ts'
import { defineProcessor, type Draft, type Micros } from './runtime/definitions.ts'
import type { Watch } from './runtime/watch.ts'
import { usdOf, watched, zeroAddress, type Watched } from './watched.ts'
import { hour, windowStart } from './windows.ts'

interface Settings extends Watched {
  readonly ring: Watch['detection']['washRing']
}

interface State {
  /** Transfers of the window that may be a ring's, in the order of the chain. */
  hops: Hop[]
  /** Volume of the window by parts of it, oldest first. */
  volumes: [start: Micros, amount: number][]
  /** Busy wallets that are not listed in `hops` any more, with the time until which. */
  hubs: Record<string, Micros>
  /** Rings that were told, with the time until which they are not told again. */
  told: Record<string, Micros>
}

/** A busier token than this sheds the transfers that matter least. */
const mostHops = 256
/** Parts of a window by which its volume slides, and how many may be there where times go back. */
const parts = 20
const mostParts = 2 * parts
/** Wallets and rings that are remembered at most; beyond it those whose time ends first are forgotten. */
const mostRemembered = 1_024
/** The share of the window's least ring volume below which a transfer of a busy token is shed. */
const shedBelow = 0.01

/**
 * Transfers of a token → wash rings, each told once a window. Mints and burns are issuance and no volume. Listed exchanges,
 * bridges, mixers and contracts cannot be members; contracts that are not listed show by what they do (see findRing).
 */
export const detectWashRings = defineProcessor<ChainTransfer, State, Settings>({
  name: 'detect-wash-rings',
  module: import.meta.url,
  inputs: [topics.chainTransfers],
  outputs: [topics.patternsMatches],
  state: { version: 1, empty: () => ({ hops: [], volumes: [], hubs: {}, told: {} }), expiresAfter: 7 * 24 * hour },
  settings: (watch) => ({ ...watched(watch), ring: watch.detection.washRing }),
  process(transfer, state, emit, at) {
    const { from, to, tokenId, ts, txHash, id, chainId } = transfer
    const amount = Number(transfer.amount)
    if (!(amount > 0) || from === to || from === zeroAddress || to === zeroAddress) return
    const { within, minShare, rounds, tolerance } = at.settings.ring
    slide(state, ts, within)
    addVolume(state, ts, amount, within)
    if (touchesHub(state, from, to, ts, ts + within)) return
    state.hops.push({ from, to, amount, tokenId, ts, txHash, id })
    const volume = state.volumes.reduce((sum, [, part]) => sum + part, 0)
    if (state.hops.length > mostHops) shed(state, shedBelow * minShare * volume, ts, ts + within)
    const excludes = (wallet: string): boolean => isInfrastructure(at.settings, chainId, wallet)
    const ring = findRing(state.hops, { rounds, tolerance, excludes })
    if (ring === undefined) return
    const share = volumeAmong(state.hops, ring.members) / volume
    const name = ring.members.toSorted().join()
    if (share < minShare || isUntil(state.told, name, ts)) return
    state.told = remembered(state.told, [name], ts, ts + within)
    emit(topics.patternsMatches, matchOf(transfer, at.settings, ring, share))
  },
})

/** Forgets what has left the window. */
function slide(state: State, ts: Micros, within: Micros): void {
  const from = ts - within
  const first = state.hops.findIndex((hop) => hop.ts >= from)
  state.hops.splice(0, first < 0 ? state.hops.length : first)
  while (state.volumes.length > mostParts || (state.volumes[0]?.[0] ?? from) < from) state.volumes.shift()
}

function addVolume(state: State, ts: Micros, amount: number, within: Micros): void {
  const start = windowStart(ts, Math.ceil(within / parts))
  const part = state.volumes.findLast(([begin]) => begin === start)
  if (part === undefined) state.volumes.push([start, amount])
  else part[1] += amount
}

function touchesHub(state: State, from: string, to: string, ts: Micros, until: Micros): boolean {
  const hubs = [from, to].filter((wallet) => isUntil(state.hubs, wallet, ts))
  for (const hub of hubs) state.hubs[hub] = until
  return hubs.length > 0
}

/** First the transfers of hubs go, then small ones, then the older half. */
function shed(state: State, least: number, ts: Micros, until: Micros): void {
  const hubs = hubsOf(state.hops)
  state.hubs = remembered(state.hubs, [...hubs], ts, until)
  state.hops = state.hops.filter((hop) => !hubs.has(hop.from) && !hubs.has(hop.to) && hop.amount >= least)
  if (state.hops.length > mostHops / 2) state.hops = state.hops.slice(-mostHops / 2)
}

const isUntil = (times: Record<string, Micros>, name: string, ts: Micros): boolean =>
  Object.hasOwn(times, name) && (times[name] ?? -1) >= ts

/** Adds names, and forgets those whose time is over. */
function remembered(
  times: Record<string, Micros>,
  names: readonly string[],
  ts: Micros,
  until: Micros,
): Record<string, Micros> {
  const left = Object.entries(times).filter(([name, time]) => time >= ts && !names.includes(name))
  const all = [...left, ...names.map((name): [string, Micros] => [name, until])]
  if (all.length <= mostRemembered) return Object.fromEntries(all)
  return Object.fromEntries(all.toSorted(([, a], [, b]) => a - b).slice(-mostRemembered))
}

function isInfrastructure({ wallets }: Watched, chainId: number, wallet: string): boolean {
  const kind = wallets[`${chainId}:${wallet}`]?.kind
  return kind === 'exchange' || kind === 'bridge' || kind === 'mixer' || kind === 'contract'
}

function matchOf(transfer: ChainTransfer, settings: Settings, ring: Ring, share: number): Draft<PatternMatch> {
  const { chainId, token, ts } = transfer
  const { members, hops } = ring
  const symbol = settings.tokens[`${chainId}:${token}`]?.symbol ?? token
  const amount = hops.reduce((sum, hop) => sum + hop.amount, 0)
  const usd = usdOf(settings, { ...transfer, amount: BigInt(amount).toString() })
  const names = members.map((wallet) => walletName(settings, chainId, wallet)).join(', ')
  return {
    id: `wash-ring:${hops[0]?.id ?? ''}:${transfer.id}`,
    pattern: 'wash-ring',
    subject: `${chainId}:${token}`,
    ts,
    start: hops[0]?.ts ?? ts,
    confidence: Math.min(1, 0.5 + share / 2),
    summary: `${symbol} went round ${settings.ring.rounds} times among ${names}: ${percent(share)} of its volume.`,
    venue: null,
    symbol: null,
    chainId,
    wallets: members,
    evidence: hops.map((hop) => hop.id),
    facts: {
      token: symbol,
      members: String(members.length),
      rounds: String(settings.ring.rounds),
      share: share.toFixed(6),
      usd: usd.toFixed(2),
      txHash: transfer.txHash,
    },
  }
}
