/** Scores each wallet's risk from its transfers, and says so when the score has moved. */
import { topics } from '../schemas/topics.ts'
import type { WalletActivity } from '../schemas/types.ts'
import { addActivity, emptyWallet, factorsOf, levelOf, scoreOf, type WalletState } from './risk/wallet-risk.ts'
import { defineProcessor } from './runtime/definitions.ts'
import { usdOf, watched, zeroAddress, type Watched } from './watched.ts'
import { hour } from './windows.ts'

/** Points by which a score must move before it is told again, unless it rises to a higher level. */
const step = 5
/** What these move is their customers'. */
const unscored = new Set(['exchange', 'bridge', 'contract'])

interface State {
  wallet: WalletState
  /** The score told last. */
  told: number
}

/** Wallet activity → risk scores. A wallet that never leaves the first five points is never told. */
export const scoreWalletRisk = defineProcessor<WalletActivity, State, Watched>({
  name: 'score-wallet-risk',
  module: import.meta.url,
  inputs: [topics.walletsActivity],
  outputs: [topics.riskWallets],
  state: { version: 1, empty: () => ({ wallet: emptyWallet(), told: 0 }), expiresAfter: 30 * 24 * hour },
  settings: watched,
  process(activity, state, emit, at) {
    const { chainId, wallet, counterparty, ts } = activity
    const own = at.settings.wallets[at.key]?.kind
    if (wallet === zeroAddress || (own !== undefined && unscored.has(own))) return
    const kind = at.settings.wallets[`${chainId}:${counterparty}`]?.kind
    addActivity(state.wallet, activity, usdOf(at.settings, activity), kind)
    const factors = factorsOf(state.wallet, ts, own)
    const score = scoreOf(factors)
    const level = levelOf(score)
    const rises = score > state.told && level !== levelOf(state.told)
    if (!rises && Math.abs(score - state.told) < step) return
    state.told = score
    emit(topics.riskWallets, { id: `${activity.id}:risk`, chainId, wallet, ts, score, level, factors })
  },
})
