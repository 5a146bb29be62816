/** Mines blocks of given transactions in a given order, and reorganises them. */
import { type Address, type Hash, type Hex, keccak256 } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { keptStates } from './anvil.ts'
import type { ChainClient } from './client.ts'
import { addressOf } from './address.ts'

/** A transaction to be; without `to` it creates a contract. */
export interface Request {
  readonly account: PrivateKeyAccount
  readonly to?: Address
  readonly data?: Hex
  /** Wei. */
  readonly value?: bigint
  /** Default 400,000 for a call, 21,000 for a plain transfer. */
  readonly gas?: bigint
  /** Of the type before EIP-1559. */
  readonly legacy?: true
}

export interface Mined {
  readonly number: number
  readonly hash: Hash
  /** Seconds since the epoch. */
  readonly ts: number
  readonly miner: Address
  readonly baseFee: bigint
  readonly transactions: readonly Signed[]
}

interface Signed {
  readonly hash: Hash
  readonly raw: Hex
  readonly from: Address
}

export interface Blocks {
  tip(): Mined
  /** Mines one block with exactly these transactions in this order; at `ts`, or a second after its parent if that is later. */
  mine(requests: readonly Request[], ts: number): Promise<Mined>
  /**
   * Replaces the newest `depth` blocks by as many others with the same transactions but those sent by `without`, which are
   * nowhere afterwards. Returns the removed blocks, oldest first.
   */
  reorganise(depth: number, without: readonly Address[]): Promise<readonly Mined[]>
}

const gwei = 10n ** 9n

/** Takes over a chain without pending transactions whose `tip` nobody else extends. */
export function blocksOn(client: ChainClient, chainId: number, tip: Mined): Blocks {
  const nonces = new Map<Address, number>()
  let kept: Mined[] = [tip]
  const newest = (): Mined => kept.at(-1) ?? tip

  const nextNonce = (from: Address): number => {
    const nonce = nonces.get(from) ?? 0
    nonces.set(from, nonce + 1)
    return nonce
  }

  return {
    tip: newest,
    async mine(requests, ts) {
      const transactions = await Promise.all(
        requests.map((request, index) => {
          // Anvil takes the highest fee first, so the fee falls from one transaction to the next.
          const fee = (50n + BigInt(requests.length - index)) * gwei
          return sign(request, chainId, nextNonce(addressOf(request.account)), fee)
        }),
      )
      await Promise.all(transactions.map(({ raw }) => client.sendRawTransaction({ serializedTransaction: raw })))
      const parent = newest()
      await client.setNextBlockTimestamp({ timestamp: BigInt(Math.max(ts, parent.ts + 1)) })
      await client.mine({ blocks: 1 })
      const mined = await read(client, parent.number + 1, transactions)
      kept = [...kept, mined].slice(-keptStates)
      return mined
    },
    async reorganise(depth, without) {
      const removed = kept.slice(-depth)
      const [oldest] = removed
      if (depth < 1 || depth >= kept.length || oldest === undefined) {
        throw new RangeError(`a reorganisation of depth ${depth}: from 1 to ${kept.length - 1} is possible here`)
      }
      const branch = removed.map((block) => block.transactions.filter(({ from }) => !without.includes(from)))
      // Anvil would go on from the removed tip's fee and put all blocks into one second; another miner makes them differ.
      await client.setCoinbase({ address: otherMiner(oldest.miner) })
      await client.setNextBlockBaseFeePerGas({ baseFeePerGas: oldest.baseFee })
      await client.setBlockTimestampInterval({ interval: 1 })
      const pairs = branch.flatMap((block, index) => block.map(({ raw }) => [raw, index] as const))
      await client.request({ method: 'anvil_reorg', params: [depth, pairs] })
      await client.removeBlockTimestampInterval()
      const added = await Promise.all(branch.map((block, index) => read(client, oldest.number + index, block)))
      kept = [...kept.slice(0, -depth), ...added]
      // What the left-out senders sent in the removed blocks is undone, so their count goes back by as much.
      for (const { from } of removed.flatMap((block) => block.transactions)) {
        if (without.includes(from)) nonces.set(from, (nonces.get(from) ?? 1) - 1)
      }
      return removed
    },
  }
}

function otherMiner(miner: Address): Address {
  return `0x${((BigInt(miner) + 1n) % 2n ** 160n).toString(16).padStart(40, '0')}`
}

async function sign(request: Request, chainId: number, nonce: number, fee: bigint): Promise<Signed> {
  const { account, to, data, value = 0n, gas = data ? 400_000n : 21_000n, legacy } = request
  const common = { chainId, nonce, gas, value, ...(to && { to }), ...(data && { data }) }
  const raw = legacy
    ? await account.signTransaction({ ...common, type: 'legacy', gasPrice: fee })
    : await account.signTransaction({ ...common, type: 'eip1559', maxFeePerGas: fee, maxPriorityFeePerGas: fee / 50n })
  return { hash: keccak256(raw), raw, from: addressOf(account) }
}

/** @throws Error where the block does not hold exactly these transactions in this order */
async function read(client: ChainClient, number: number, transactions: readonly Signed[]): Promise<Mined> {
  const block = await client.getBlock({ blockNumber: BigInt(number) })
  if (block.transactions.join() !== transactions.map(({ hash }) => hash).join()) {
    throw new Error(`block ${number} does not hold the ${transactions.length} transactions sent, in their order`)
  }
  const { hash, timestamp, miner, baseFeePerGas } = block
  return { number, hash, ts: Number(timestamp), miner, baseFee: baseFeePerGas ?? 0n, transactions }
}
