/** Blocks put together from a seed, without a node: transfers, swaps, rings, sandwiches and bait among few wallets. */
import { seeded, type Random } from '../../ops/local/chain/random.ts'
import type { BlockLog, BlockTransaction, ChainBlock } from '../../schemas/types.ts'
import { emptyBlock } from '../connectors/evm/recordings.ts'
import { logOf, signature, transactionWith } from '../workers/decoding/made-up-logs.ts'
import { address, noon, second, watchOf } from '../workers/records.ts'

const [usdc, thin, unlisted] = [address(0x70), address(0x71), address(0x72)]
const tokens = [usdc, thin, unlisted]
const pools = [address(0x9001), address(0x9002)]
const wallets = Array.from({ length: 12 }, (_, index) => address(0x100 + index))
const ring = [address(0x201), address(0x202), address(0x203)]
const sanctioned = address(0xbad)
/** Of which the second is made to look like the first. */
const [payee, lookAlike] = [`0xabcd${'1'.repeat(32)}dcba`, `0xabcd${'2'.repeat(32)}dcba`]
const transferTopic = signature('Transfer(address,address,uint256)')
const swapTopic = signature('Swap(address,uint256,uint256,uint256,uint256,address)')

const hook = { hook: { kind: 'webhook', url: 'https://example.org', secretFrom: 'SECRET' } }
const rule = (name: string, topic: string, rest: object): object => ({
  name,
  topic,
  severity: 'info',
  title: '{id}',
  channels: ['hook'],
  ...rest,
})

/** Knows the tokens and wallets; rules that limit themselves are those whose alerts depend on what came before. */
export const madeUpWatch = watchOf(
  {
    tokens: [
      { address: usdc, symbol: 'USDC', decimals: 6, priceUsd: 1 },
      { address: thin, symbol: 'THIN', decimals: 6, priceUsd: 2 },
    ],
    wallets: [{ address: sanctioned, label: 'listed', kind: 'sanctioned' }],
    contracts: [usdc],
  },
  {
    detection: { whaleTransfer: { minUsd: 900_000 }, priceShock: { move: 0.02 } },
    channels: hook,
    alerts: [
      rule('every-match', 'patterns.matches.v1', { group: '{rule} {subject}' }),
      rule('now-and-then', 'patterns.matches.v1', { group: '{subject}', every: '1m' }),
      rule('wallet', 'risk.wallets.v1', { where: [{ field: 'score', atLeast: 20 }], every: '5m', group: '{wallet}' }),
      rule('market', 'risk.markets.v1', {}),
      rule('signal', 'signals.trades.v1', { every: '30s' }),
    ],
  },
)

export class MadeUpChain {
  readonly #random: Random
  readonly #chainId: number

  constructor(seed: string, chainId = 1) {
    this.#random = seeded(`made up ${seed}`)
    this.#chainId = chainId
  }

  /** A block that follows `parent` (none: the first). */
  next(parent: ChainBlock | undefined, finalized: number): ChainBlock {
    const random = this.#random
    const number = (parent?.block ?? 0) + 1
    const blockHash = `0x${random.hex(64)}`
    return emptyBlock({
      chainId: this.#chainId,
      block: number,
      blockHash,
      parentHash: parent?.blockHash ?? `0x${'0'.repeat(64)}`,
      // Blocks of a fast chain may bear one time.
      ts: (parent?.ts ?? noon) + random.pick([0, 1, 12, 12, 12]) * second,
      finalized,
      transactions: this.#transactions(),
    })
  }

  /** A block in which nothing happens. */
  static empty(parent: ChainBlock, finalized: number): ChainBlock {
    const { chainId, block, blockHash, ts } = parent
    const number = block + 1
    const next = { chainId, block: number, blockHash: `0xe${number}`, parentHash: blockHash }
    return emptyBlock({ ...next, ts: ts + 12 * second, finalized })
  }

  #transactions(): BlockTransaction[] {
    const random = this.#random
    const logs: { from: string; value?: string; logs: BlockLog[] }[] = []
    const add = (from: string, ...some: BlockLog[]): void => void logs.push({ from, logs: some })
    const chance = (part: number): boolean => random.next() < part
    for (let count = random.int(0, 3); count > 0; count--) {
      const [from, to] = [random.pick(wallets), random.pick(wallets)]
      add(from, move(random.pick(tokens), from, to, Math.round(random.logBetween(1, 200_000)) * 1e6))
    }
    if (chance(0.15)) add(wallets[0] ?? '', move(usdc, wallets[0], random.pick(wallets), random.int(1, 3) * 1e12))
    if (chance(0.3)) for (const [index, from] of ring.entries()) add(from, move(thin, from, ring[(index + 1) % 3], 5e9))
    if (chance(0.25)) this.#sandwich(add)
    if (chance(0.15)) add(wallets[1] ?? '', move(usdc, wallets[1], payee, 5e7))
    if (chance(0.1)) add(lookAlike, move(usdc, lookAlike, wallets[1], 0))
    if (chance(0.1)) add(sanctioned, move(usdc, sanctioned, random.pick(wallets), random.int(1, 9) * 1e9))
    if (chance(0.3)) logs.push({ from: random.pick(wallets), value: String(random.int(1, 9) * 1e18), logs: [] })
    let logIndex = 0
    return logs.map((some, index) =>
      transactionWith({
        hash: `0x${random.hex(64)}`,
        index,
        from: some.from,
        to: random.pick(wallets),
        value: some.value ?? '0',
        logs: some.logs.map((log) => ({ ...log, logIndex: logIndex++ })),
      }),
    )
  }

  #sandwich(add: (from: string, ...logs: BlockLog[]) => void): void {
    const [pool, attacker, victim] = [this.#random.pick(pools), wallets[2] ?? '', this.#random.pick(wallets.slice(3))]
    add(attacker, swap(pool, attacker, [1_000, 0], [0, 2_000]))
    add(victim, swap(pool, victim, [500, 0], [0, 900]))
    if (this.#random.next() < 0.7) add(attacker, swap(pool, attacker, [0, 2_000], [1_050, 0]))
  }
}

const words = (...values: readonly number[]): string =>
  `0x${values.map((value) => BigInt(value).toString(16).padStart(64, '0')).join('')}`
const holderOf = (wallet = ''): string => `0x${wallet.slice(2).padStart(64, '0')}`

const move = (token: string, from: string | undefined, to: string | undefined, amount: number): BlockLog =>
  logOf({ address: token, topics: [transferTopic, holderOf(from), holderOf(to)], data: words(amount) })

const swap = (pool: string, trader: string, input: readonly number[], output: readonly number[]): BlockLog =>
  logOf({ address: pool, topics: [swapTopic, holderOf(trader), holderOf(trader)], data: words(...input, ...output) })
