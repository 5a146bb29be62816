/** Finds single transfers worth more than the watch file's threshold. */
import { topics } from '../schemas/topics.ts'
import type { ChainTransfer } from '../schemas/types.ts'
import { fromSmallestUnit } from './decimal.ts'
import { dollars, walletName } from './patterns/words.ts'
import { defineProcessor } from './runtime/definitions.ts'
import { tokenOf, usdOf, watched, zeroAddress, type Watched } from './watched.ts'
import { hour } from './windows.ts'

interface Settings extends Watched {
  readonly minUsd: number
}

/**
 * Transfers → whale transfers. Not told: what one owner moves among own wallets; mints and burns, which are issuance; and
 * deposits into or withdrawals from a token's own contract, which only wrap the same coins.
 */
export const detectWhaleTransfers = defineProcessor<ChainTransfer, Record<string, never>, Settings>({
  name: 'detect-whale-transfers',
  module: import.meta.url,
  inputs: [topics.chainTransfers],
  outputs: [topics.patternsMatches],
  state: { version: 1, empty: () => ({}), expiresAfter: hour },
  settings: (watch) => ({ ...watched(watch), minUsd: watch.detection.whaleTransfer.minUsd }),
  process(transfer, _state, emit, at) {
    const { settings } = at
    const usd = usdOf(settings, transfer)
    const token = tokenOf(settings, transfer)
    if (token === undefined || usd < settings.minUsd || isInternal(settings, transfer)) return
    const { id, chainId, ts, from, to, txHash } = transfer
    const amount = fromSmallestUnit(transfer.amount, token.decimals)
    const [sender, receiver] = [walletName(settings, chainId, from), walletName(settings, chainId, to)]
    emit(topics.patternsMatches, {
      id: `whale-transfer:${id}`,
      pattern: 'whale-transfer',
      subject: at.key,
      ts,
      start: ts,
      confidence: 1,
      summary: `${amount} ${token.symbol} (${dollars(usd)}) moved from ${sender} to ${receiver}.`,
      venue: null,
      symbol: null,
      chainId,
      wallets: [from, to],
      evidence: [id],
      facts: { usd: usd.toFixed(2), amount, token: token.symbol, from, to, txHash },
    })
  },
})

/** Whether nothing changed hands. */
function isInternal({ wallets, tokens }: Settings, { chainId, from, to }: ChainTransfer): boolean {
  const [sender, receiver] = [`${chainId}:${from}`, `${chainId}:${to}`]
  const owner = wallets[sender]?.owner ?? null
  return (
    from === to ||
    from === zeroAddress ||
    to === zeroAddress ||
    sender in tokens ||
    receiver in tokens ||
    (owner !== null && owner === wallets[receiver]?.owner)
  )
}
