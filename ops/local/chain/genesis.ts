/** Makes the chain's first state: contracts, pools with liquidity, and everybody's balances and allowances. */
import { type Address, encodeFunctionData, type Hex, numberToHex } from 'viem'
import { addressOf } from './address.ts'
import type { Blocks } from './blocks.ts'
import type { ChainClient } from './client.ts'
import {
  abi,
  amountOf,
  deployer,
  deployments,
  type Erc20,
  type Pool,
  WETH,
  pairFactory,
  pools,
  router,
  slotOf,
  tokens,
  tradedTokens,
} from './contracts.ts'
import { participants, type Plan } from './plan.ts'

/** Worth of each token that a pool holds on each side, and that a wallet has. */
const [poolUsd, walletUsd] = [2_000_000, 100_000_000]
const coins = 10n ** 24n
const word = (value: bigint): Hex => numberToHex(value, { size: 32 })

/**
 * Deploys and funds. Balances are set, not sent: the chain then holds no transfer but its traders', above all no large
 * one. The pools' shares are minted by their own contracts.
 */
export async function prepare(client: ChainClient, blocks: Blocks, plan: Plan): Promise<void> {
  const act = async (calls: readonly { readonly to?: Address; readonly data: Hex }[]): Promise<void> => {
    const { number } = await blocks.mine(
      calls.map((call) => ({ account: deployer, gas: 5_000_000n, ...call })),
      0,
    )
    const receipts = await client.getBlockReceipts({ blockNumber: BigInt(number) })
    const failed = receipts.findIndex((receipt) => receipt.status !== 'success')
    if (failed >= 0) throw new Error(`transaction ${failed} of block ${number} of the chain's set-up failed`)
  }
  const wallets = walletsOf(plan)
  await Promise.all([addressOf(deployer), ...wallets].map((address) => client.setBalance({ address, value: coins })))
  await act(deployments.map((data) => ({ data })))
  const createPair = ({ token0, token1 }: Pool): Hex =>
    encodeFunctionData({ abi, functionName: 'createPair', args: [token0.address, token1.address] })
  await act(pools.map((pool) => ({ to: pairFactory, data: createPair(pool) })))

  const values = [...tokens.flatMap((token) => balances(token, wallets)), ...allowances(plan, wallets)]
  await Promise.all(
    values.map(({ address, slot, value }) => client.setStorageAt({ address, index: slot, value: word(value) })),
  )
  // A wrapped coin's supply is what its contract holds.
  await client.setBalance({ address: WETH.address, value: supplyOf(WETH, wallets) })
  const mint = encodeFunctionData({ abi, functionName: 'mint', args: [addressOf(deployer)] })
  await act(pools.map((pool) => ({ to: pool.address, data: mint })))
}

/** All that send or hold something. */
function walletsOf(plan: Plan): Address[] {
  return [...plan.traders.map(addressOf), ...plan.exchange.wallets, ...plan.events.flatMap(participants)]
}

interface Slot {
  readonly address: Address
  readonly slot: Hex
  readonly value: bigint
}

const poolsOf = (token: Erc20): Address[] =>
  pools.filter((pool) => pool.token0 === token || pool.token1 === token).map((pool) => pool.address)

function supplyOf(token: Erc20, wallets: readonly Address[]): bigint {
  const inPools = amountOf(token, poolUsd) * BigInt(poolsOf(token).length)
  return inPools + amountOf(token, walletUsd) * BigInt(new Set(wallets).size)
}

function balances(token: Erc20, wallets: readonly Address[]): Slot[] {
  const { address, slots } = token
  const holds =
    (usd: number) =>
    (holder: Address): Slot => {
      return { address, slot: slotOf(slots.balances, holder), value: amountOf(token, usd) }
    }
  const supply =
    slots.supply === undefined ? [] : [{ address, slot: word(slots.supply), value: supplyOf(token, wallets) }]
  return [...poolsOf(token).map(holds(poolUsd)), ...wallets.map(holds(walletUsd)), ...supply]
}

/** The router may spend for all; an attacker for the look-alike that he made. */
function allowances(plan: Plan, wallets: readonly Address[]): Slot[] {
  const maySpend = ({ address, slots }: Erc20, owner: Address, spender: Address): Slot => {
    return { address, slot: slotOf(slots.allowances, owner, spender), value: 2n ** 256n - 1n }
  }
  const steps = plan.events.flatMap((event) => event.steps)
  return [
    ...tradedTokens.flatMap((token) => wallets.map((wallet) => maySpend(token, wallet, router))),
    ...steps.flatMap(({ account, action }) =>
      action.kind === 'transfer-from' && action.amount > 0n
        ? [maySpend(action.token, action.owner, addressOf(account))]
        : [],
    ),
  ]
}
