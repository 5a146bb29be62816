/** The local chain's entry in the watch file. */
import type { z } from 'zod'
import type { WatchSchema } from '../../../workers/runtime/watch.ts'
import { native, pools, router, tokens } from './contracts.ts'
import type { Plan } from './plan.ts'

export type ChainWatch = NonNullable<z.input<typeof WatchSchema>['chains']>[number]

/** What stands under `chains:` for a plan's chain. */
export function chainWatch(plan: Plan, blockTimeS = 1): ChainWatch {
  const { owner, wallets } = plan.exchange
  const contract = (address: string, label: string) => ({ address, label, kind: 'contract' as const })
  return {
    chainId: plan.chainId,
    name: 'local',
    finalityDepth: 30,
    blockTime: `${Math.round(blockTimeS * 1_000)}ms`,
    native: { symbol: native.symbol, decimals: 18, priceUsd: native.priceUsd },
    tokens: tokens.map(({ address, symbol, priceUsd }) => ({ address, symbol, decimals: 18, priceUsd })),
    wallets: [
      ...wallets.map((address, index) => ({
        address,
        label: `${owner} ${index + 1}`,
        kind: 'exchange' as const,
        owner,
      })),
      ...pools.map(({ address, name }) => contract(address, `pool ${name}`)),
      contract(router, 'router'),
    ],
    contracts: pools.slice(0, 1).map(({ address }) => address),
  }
}
