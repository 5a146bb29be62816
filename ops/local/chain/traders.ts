/** The background: traders who swap and send ordinary sizes, and never by chance look like a pattern. */
import type { PrivateKeyAccount } from 'viem/accounts'
import { addressOf } from './address.ts'
import type { Request } from './blocks.ts'
import { amountOf, type Erc20, native, pools, thinTokens, type Token, tradedTokens } from './contracts.ts'
import type { Plan } from './plan.ts'
import { seeded } from './random.ts'
import { swap, transfer } from './transactions.ts'

/** Gives the transactions of the next block, each from another trader. */
export type Traders = (count: number) => readonly Request[]

/**
 * For each token half of the traders only give it away and the others only get it, in swaps as in transfers. So no token
 * can come back to where it was, and there is no ring; and as a trader acts at most once a block, there is no sandwich.
 */
export function tradersOf(plan: Plan): Traders {
  const random = seeded(`traders ${plan.seed}`)
  const coins: readonly Token[] = [...tradedTokens, native, ...thinTokens]
  const gives = (index: number, token: Token): boolean => ((index >> (coins.indexOf(token) % 5)) & 1) === 1
  const indexes = plan.traders.map((_, index) => index)

  return (count) => {
    const idle = new Set(indexes)
    /** A trader who gives `token` and, where there is one, gets `other`. */
    const trader = (token: Token, other?: Token): PrivateKeyAccount | undefined => {
      const able = [...idle].filter((index) => gives(index, token) && (other === undefined || !gives(index, other)))
      if (able.length === 0) return undefined
      const index = random.pick(able)
      idle.delete(index)
      return plan.traders[index]
    }
    const send = (token: Token, usd: number): Request[] => {
      const from = trader(token)
      const to = plan.traders[random.pick(indexes.filter((index) => !gives(index, token)))]
      return from && to ? [transfer(from, token, addressOf(to), amountOf(token, usd))] : []
    }
    const trade = (atLeast: bigint): Request[] => {
      const pool = random.pick(pools)
      const [tokenIn, tokenOut]: [Erc20, Erc20] =
        random.next() < 0.5 ? [pool.token0, pool.token1] : [pool.token1, pool.token0]
      const from = trader(tokenIn, tokenOut)
      const amount = amountOf(tokenIn, random.logBetween(50, 3_000))
      return from ? [swap(from, pool, tokenIn, amount, atLeast)] : []
    }
    const act = (): Request[] => {
      const chance = random.next()
      if (chance < 0.45) return trade(0n)
      // A price that no pool pays: the swap fails, its transaction stays in the block.
      if (chance < 0.48) return trade(2n ** 111n)
      if (chance < 0.65) return send(native, random.logBetween(20, 2_000))
      if (chance < 0.66) return send(random.pick(thinTokens), random.logBetween(20, 200))
      return send(random.pick(tradedTokens), random.logBetween(5, 5_000))
    }
    return Array.from({ length: count }, act)
      .flat()
      .map((request) => (random.next() < 0.2 ? { ...request, legacy: true } : request))
  }
}
