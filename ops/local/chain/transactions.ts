/** Turns what somebody does into the transaction that does it. */
import { type Address, encodeFunctionData } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import type { Request } from './blocks.ts'
import { abi, type Erc20, type Pool, router, type Token } from './contracts.ts'

/** Year 2100: a swap never expires. */
const deadline = 4_102_444_800n

/** A transfer of the chain's coin or of an ERC-20 token. */
export function transfer(account: PrivateKeyAccount, token: Token, to: Address, amount: bigint): Request {
  if (token.address === 'native') return { account, to, value: amount }
  const data = encodeFunctionData({ abi, functionName: 'transfer', args: [to, amount] })
  return { account, to: token.address, data }
}

export function transferFrom(
  account: PrivateKeyAccount,
  token: Erc20,
  owner: Address,
  to: Address,
  amount: bigint,
): Request {
  const data = encodeFunctionData({ abi, functionName: 'transferFrom', args: [owner, to, amount] })
  return { account, to: token.address, data }
}

/** A swap of exactly `amountIn` through the router; it fails where the pool pays less than `atLeast`. */
export function swap(account: PrivateKeyAccount, pool: Pool, tokenIn: Erc20, amountIn: bigint, atLeast = 0n): Request {
  const tokenOut = tokenIn === pool.token0 ? pool.token1 : pool.token0
  const path = [tokenIn.address, tokenOut.address]
  const args = [amountIn, atLeast, path, account.address, deadline] as const
  return { account, to: router, data: encodeFunctionData({ abi, functionName: 'swapExactTokensForTokens', args }) }
}
