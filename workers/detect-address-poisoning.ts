/** Finds bait transfers from addresses made to look like one that the wallet pays. */
import { topics } from '../schemas/topics.ts'
import type { WalletActivity } from '../schemas/types.ts'
import { imitatedBy } from './patterns/look-alike.ts'
import { dollars, walletName } from './patterns/words.ts'
import { defineProcessor } from './runtime/definitions.ts'
import type { Watch } from './runtime/watch.ts'
import { tokenOf, usdOf, watched, zeroAddress, type Watched } from './watched.ts'
import { hour } from './windows.ts'

interface Settings extends Watched {
  readonly bait: Watch['detection']['addressPoisoning']
}

interface State {
  /** Whom the wallet paid, the newest last. */
  paid: string[]
  /** Look-alikes that were told, the newest last. */
  told: string[]
}

/** Payees that a wallet is protected for, and look-alikes that are told once. */
const remembered = 64

/**
 * Wallet activity → address poisoning. Bait is a transfer worth nearly nothing, of nothing, or of a token that is not listed,
 * seen from either side: whoever calls `transferFrom` with an amount of 0 can make the victim seem the sender, and a false
 * token can say anything. So only a listed token that really moved makes a payee.
 */
export const detectAddressPoisoning = defineProcessor<WalletActivity, State, Settings>({
  name: 'detect-address-poisoning',
  module: import.meta.url,
  inputs: [topics.walletsActivity],
  outputs: [topics.patternsMatches],
  state: { version: 1, empty: () => ({ paid: [], told: [] }), expiresAfter: 90 * 24 * hour },
  settings: (watch) => ({ ...watched(watch), bait: watch.detection.addressPoisoning }),
  process(activity, state, emit, at) {
    const { id, chainId, ts, wallet, counterparty, direction, txHash } = activity
    if (counterparty === zeroAddress || counterparty === wallet) return
    const usd = usdOf(at.settings, activity)
    if (usd > at.settings.bait.maxUsd) {
      if (direction === 'out') remember(state.paid, counterparty)
      return
    }
    if (state.told.includes(counterparty)) return
    const imitated = imitatedBy(counterparty, state.paid, at.settings.bait)
    if (imitated === undefined) return
    remember(state.told, counterparty)
    const [victim, payee] = [
      walletName(at.settings, chainId, wallet),
      walletName(at.settings, chainId, imitated.address),
    ]
    emit(topics.patternsMatches, {
      id: `address-poisoning:${id}`,
      pattern: 'address-poisoning',
      subject: at.key,
      ts,
      start: ts,
      confidence: imitated.confidence,
      summary: `${counterparty}, made to look like ${payee}, baited ${victim} with a transfer worth ${dollars(usd)}.`,
      venue: null,
      symbol: null,
      chainId,
      wallets: [wallet, counterparty, imitated.address],
      evidence: [id],
      facts: {
        victim: wallet,
        lookAlike: counterparty,
        imitated: imitated.address,
        usd: usd.toFixed(2),
        token: tokenOf(at.settings, activity)?.symbol ?? activity.token,
        txHash,
      },
    })
  },
})

function remember(addresses: string[], address: string): void {
  const known = addresses.indexOf(address)
  if (known >= 0) addresses.splice(known, 1)
  addresses.push(address)
  if (addresses.length > remembered) addresses.shift()
}
