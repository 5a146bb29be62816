/** What the watch file says of wallets and tokens, as plain data that steps look up by `chainId:address`. */
import { fromSmallestUnit } from './decimal.ts'
import type { Watch } from './runtime/watch.ts'

export interface WatchedToken {
  readonly symbol: string
  readonly decimals: number
  readonly priceUsd: number
}

export interface WatchedWallet {
  readonly label: string
  readonly kind: Watch['chains'][number]['wallets'][number]['kind']
  readonly owner: string | null
}

export interface Watched {
  /** The native coin stands under `chainId:native`. */
  readonly tokens: Readonly<Record<string, WatchedToken>>
  readonly wallets: Readonly<Record<string, WatchedWallet>>
}

/** What moved and how much, as transfers and wallet activity say it. */
export interface Moved {
  readonly chainId: number
  readonly standard: string
  readonly token: string
  readonly amount: string
}

export const zeroAddress = '0x0000000000000000000000000000000000000000'

/** Looks up what the watch file lists on every chain. */
export function watched(watch: Watch): Watched {
  const tokens: Record<string, WatchedToken> = {}
  const wallets: Record<string, WatchedWallet> = {}
  for (const { chainId, native, ...chain } of watch.chains) {
    tokens[`${chainId}:native`] = native
    for (const { address, ...token } of chain.tokens) tokens[`${chainId}:${address}`] = token
    for (const { address, label, kind, owner } of chain.wallets) {
      wallets[`${chainId}:${address}`] = { label, kind, owner: owner ?? null }
    }
  }
  return { tokens, wallets }
}

/** The listed token that moved; undefined for tokens that are not listed and for collectibles. */
export const tokenOf = (watched: Watched, { chainId, standard, token }: Moved): WatchedToken | undefined =>
  standard === 'native' || standard === 'erc20' ? watched.tokens[`${chainId}:${token}`] : undefined

/** Rough value in US dollars; 0 where the token is not listed. */
export function usdOf(watched: Watched, moved: Moved): number {
  const token = tokenOf(watched, moved)
  return token === undefined ? 0 : Number(fromSmallestUnit(moved.amount, token.decimals)) * token.priceUsd
}
