/** The contracts of the local chain, from published artifacts, at addresses that are the same on every start. */
import erc20 from '@uniswap/v2-core/build/ERC20.json' with { type: 'json' }
import factoryArtifact from '@uniswap/v2-core/build/UniswapV2Factory.json' with { type: 'json' }
import pairArtifact from '@uniswap/v2-core/build/UniswapV2Pair.json' with { type: 'json' }
import routerArtifact from '@uniswap/v2-periphery/build/UniswapV2Router02.json' with { type: 'json' }
import wethArtifact from '@uniswap/v2-periphery/build/WETH9.json' with { type: 'json' }
import {
  type Address,
  concatHex,
  encodeAbiParameters,
  encodePacked,
  getContractAddress,
  type Hex,
  keccak256,
  parseAbi,
  stringToHex,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { lower } from './address.ts'

export interface Token {
  /** 'native' for the chain's own coin. */
  readonly address: Address | 'native'
  readonly symbol: string
  readonly priceUsd: number
}

export interface Erc20 extends Token {
  readonly address: Address
  /** Storage slots of the contract's mappings balanceOf and allowance. */
  readonly slots: { readonly balances: bigint; readonly allowances: bigint; readonly supply?: bigint }
}

export interface Pool {
  readonly address: Address
  readonly name: string
  /** In the order of their addresses, as the pair has them. */
  readonly token0: Erc20
  readonly token1: Erc20
}

export const abi = parseAbi([
  'function createPair(address tokenA, address tokenB) returns (address pair)',
  'function mint(address to) returns (uint256 liquidity)',
  'function getReserves() view returns (uint112 reserve0, uint112 reserve1, uint32 blockTimestampLast)',
  'function balanceOf(address owner) view returns (uint256)',
  'function transfer(address to, uint256 value) returns (bool)',
  'function transferFrom(address from, address to, uint256 value) returns (bool)',
  'function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline) returns (uint256[] amounts)',
])

/** Deploys the contracts; one key for all seeds, so that the contracts' addresses never change. */
export const deployer = privateKeyToAccount(keccak256(stringToHex('crypto-intel local chain: deployer')))

const code = (bytecode: string, ...args: Hex[]): Hex => concatHex([`0x${bytecode}`, ...args])
const addressArg = (address: Address): Hex => encodeAbiParameters([{ type: 'address' }], [address])
const created = (nonce: number): Address => lower(getContractAddress({ from: deployer.address, nonce: BigInt(nonce) }))

const factory = created(0)
const weth = created(1)
export const router = created(2)

const coreSlots = { supply: 0n, balances: 1n, allowances: 2n }
const standard = (index: number, symbol: string, priceUsd: number): Erc20 => {
  return { address: created(3 + index), symbol, priceUsd, slots: coreSlots }
}

export const native: Token = { address: 'native', symbol: 'ETH', priceUsd: 3_000 }
export const WETH: Erc20 = { address: weth, symbol: 'WETH', priceUsd: 3_000, slots: { balances: 3n, allowances: 4n } }
export const DUSD = standard(0, 'DUSD', 1)
export const LINX = standard(1, 'LINX', 15)
export const MEME = standard(2, 'MEME', 0.002)
export const NANO = standard(3, 'NANO', 0.4)
export const PUMP = standard(4, 'PUMP', 0.05)

/** Tokens with pools, whose volume is high. */
export const tradedTokens: readonly Erc20[] = [WETH, DUSD, LINX, MEME]
/** Tokens without a pool that hardly move. */
export const thinTokens: readonly Erc20[] = [NANO, PUMP]
export const tokens: readonly Erc20[] = [...tradedTokens, ...thinTokens]
export const pools: readonly Pool[] = [pool(WETH, DUSD), pool(LINX, WETH), pool(MEME, DUSD), pool(LINX, DUSD)]

/** What deploys each contract, in the order of the deployer's nonces. */
export const deployments: readonly Hex[] = [
  code(factoryArtifact.bytecode, addressArg(deployer.address)),
  code(wethArtifact.bytecode),
  code(routerArtifact.bytecode, addressArg(factory), addressArg(weth)),
  // Nothing is minted: balances are set at genesis, so that no transfer is on the chain that no trader made.
  ...[DUSD, LINX, MEME, NANO, PUMP].map(() => code(erc20.bytecode, encodeAbiParameters([{ type: 'uint256' }], [0n]))),
]
export const pairFactory = factory

/** `usd` worth of a token, in its smallest unit; every token here has 18 decimals. */
export function amountOf(token: Token, usd: number): bigint {
  return BigInt(Math.round((usd / token.priceUsd) * 1e6)) * 10n ** 12n
}

/** What a pool pays for `amountIn`: x·y = k less the fee of 0.3 % (UniswapV2Library.getAmountOut). */
export function amountOut(amountIn: bigint, reserveIn: bigint, reserveOut: bigint): bigint {
  const afterFee = amountIn * 997n
  return (afterFee * reserveOut) / (reserveIn * 1_000n + afterFee)
}

/** The storage slot of `mapping[key]`, for nested mappings of `mapping[key][key2]` … (Solidity, layout in storage). */
export function slotOf(mapping: bigint, ...keys: readonly Address[]): Hex {
  const start = encodeAbiParameters([{ type: 'uint256' }], [mapping])
  return keys.reduce<Hex>((slot, key) => keccak256(concatHex([addressArg(key), slot])), start)
}

/** The pair's address: CREATE2 from the factory (UniswapV2Factory.createPair). */
function pool(a: Erc20, b: Erc20): Pool {
  const [token0, token1] = a.address < b.address ? [a, b] : [b, a]
  const salt = keccak256(encodePacked(['address', 'address'], [token0.address, token1.address]))
  const address = getContractAddress({ opcode: 'CREATE2', from: factory, salt, bytecode: code(pairArtifact.bytecode) })
  return { address: lower(address), name: `${a.symbol}/${b.symbol}`, token0, token1 }
}
