/** What will happen on the chain beside its background traffic, decided by the seed alone. */
import { type Address, keccak256, stringToHex } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { addressOf } from './address.ts'
import { native, tradedTokens } from './contracts.ts'
import {
  type EventDraft,
  type EventName,
  type Making,
  mutualTrade,
  poisonings,
  removedWhale,
  sandwiches,
  washRing,
  whales,
} from './events.ts'
import { type Random, seeded } from './random.ts'

export interface PlannedEvent extends EventDraft {
  /** First block, counted from the one after `arm()`. */
  readonly start: number
}

/** All who take part: those between whom something moves, and who sends the transactions. */
export function participants({ wallets, steps }: EventDraft): readonly Address[] {
  return [...new Set([...wallets, ...steps.map(({ account }) => addressOf(account))])]
}

export interface Plan {
  readonly seed: number
  readonly chainId: number
  readonly traders: readonly PrivateKeyAccount[]
  /** An exchange's own wallets, which the watch file lists. */
  readonly exchange: { readonly owner: string; readonly wallets: readonly Address[] }
  readonly events: readonly PlannedEvent[]
  /** Blocks from `arm()` to the end of the last event. */
  readonly blocks: number
}

/** Events are over this many blocks after `arm()`. */
export const planBlocks = 32
const traderCount = 30

/** Where an event begins may be fixed by its name, in blocks after `arm()`. */
export type Starts = Readonly<Partial<Record<EventName, number>>>

/**
 * The plan of a seed: a pure function. A whale transfer is one of `whaleUsd` or more.
 * @throws RangeError where `starts` leaves no room for the other events
 */
export function planOf(seed: number, chainId = 31_337, starts: Starts = {}, whaleUsd = 1_000_000): Plan {
  const random = seeded(`plan ${seed}`)
  const account = (role: string): PrivateKeyAccount =>
    privateKeyToAccount(keccak256(stringToHex(`crypto-intel local chain: ${seed} ${role}`)))
  const making: Making = { random, chainId, whaleUsd, account }
  const exchange = ['hot', 'cold'].map((role) => account(`exchange ${role}`))
  const coins = random.shuffled([native, ...tradedTokens])
  const drafts = [
    removedWhale(making, coins[0] ?? native),
    ...whales(making, coins[1] ?? native, exchange),
    ...sandwiches(making),
    washRing(making),
    mutualTrade(making),
    ...poisonings(making),
  ]
  return {
    seed,
    chainId,
    traders: Array.from({ length: traderCount }, (_, index) => account(`trader ${index}`)),
    exchange: { owner: 'demo-exchange', wallets: exchange.map(addressOf) },
    events: schedule(drafts, random, starts),
    blocks: planBlocks,
  }
}

/** Gives each event its first block: none touches the blocks that are removed, and no block has two with swaps. */
function schedule(drafts: readonly EventDraft[], random: Random, starts: Starts): PlannedEvent[] {
  const taken: { from: number; to: number; swaps: boolean; all: boolean }[] = []
  const fixedFirst = drafts.toSorted((a, b) => Number(b.name in starts) - Number(a.name in starts))
  return fixedFirst.map((draft) => {
    const length = draft.removedAt ?? Math.max(...draft.steps.map((step) => step.block)) + 1
    const swaps = draft.steps.some((step) => step.action.kind === 'swap')
    const all = draft.removedAt !== undefined
    const fits = (start: number): boolean =>
      taken.every((other) => {
        const apart = start > other.to || start + length <= other.from
        return apart || !(all || other.all || (swaps && other.swaps))
      })
    const free = Array.from({ length: planBlocks - length }, (_, start) => start).filter(fits)
    const start = starts[draft.name] ?? free[random.int(0, free.length - 1)]
    if (start === undefined || !free.includes(start)) throw new RangeError(`no room for ${draft.name}`)
    taken.push({ from: start, to: start + length - 1, swaps, all })
    return { ...draft, start }
  })
}
