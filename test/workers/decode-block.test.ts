/** The step: blocks in, records out in the chain's order, and what a removed block held taken back in reverse. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import { decodeBlock } from '../../workers/decode-block.ts'
import { sequencePosition } from '../../workers/runtime/position.ts'
import { emptyBlock } from '../connectors/evm/recordings.ts'
import { createDriver } from '../support/driver.ts'
import { holder, logOf, signature, transactionWith, word } from './decoding/made-up-logs.ts'

const token = `0x${'70'.repeat(20)}`
const wrapped = `0x${'e7'.repeat(20)}`
const watch = {
  chains: [
    {
      chainId: 1,
      name: 'ethereum',
      finalityDepth: 64,
      blockTime: '12s',
      native: { symbol: 'ETH', priceUsd: 2000 },
      tokens: [{ address: wrapped, symbol: 'WETH', decimals: 18, priceUsd: 2000 }],
      contracts: [token],
    },
  ],
}
const transfer = (logIndex: number, amount: number, address = token) =>
  logOf({
    logIndex,
    address,
    topics: [signature('Transfer(address,address,uint256)'), holder(1), holder(2)],
    data: `0x${word(amount)}`,
  })
const block = emptyBlock({
  finalized: 0,
  transactions: [
    transactionWith({ hash: '0xt0', value: '9', logs: [transfer(0, 10), transfer(1, 11)] }),
    transactionWith({
      hash: '0xt1',
      index: 1,
      logs: [
        transfer(2, 12),
        logOf({
          logIndex: 3,
          address: wrapped,
          topics: [signature('Deposit(address,uint256)'), holder(1)],
          data: `0x${word(5)}`,
        }),
        logOf({ logIndex: 4, topics: [signature('Transfer(address,address,uint256)')] }),
      ],
    }),
  ],
})
const place = (sequence: number, extended: string, tip: string) => ({
  origin: 'evm:1',
  position: sequencePosition(sequence),
  link: { extends: extended, tip },
})

describe('decode-block', () => {
  const run = () => {
    const driver = createDriver({ steps: [decodeBlock], watch })
    driver.send(topics.chainBlocks, block, place(1, '0xb0', '0xb1'))
    return driver
  }

  it('writes what a block holds in the order of transactions and logs', () => {
    const driver = run()
    expect(driver.read(topics.chainTransactions).map(({ txHash }) => txHash)).toEqual(['0xt0', '0xt1'])
    expect(driver.read(topics.chainTransfers).map(({ standard, amount }) => `${standard} ${amount}`)).toEqual([
      'native 9',
      'erc20 10',
      'erc20 11',
      'erc20 12',
      'weth 5',
    ])
    expect(driver.read(topics.chainLogs).map(({ logIndex }) => logIndex)).toEqual([0, 1, 2])
    expect(driver.read(topics.walletsActivity)).toHaveLength(9)
    expect(driver.faults).toEqual([])
  })

  it('takes a removed block back whole, last first, with the same ids; nothing stands then', () => {
    const driver = run()
    driver.send(topics.chainBlocks, { ...block, removed: true }, place(2, '0xb1', '0xb0'))
    const outputs = [topics.chainTransactions, topics.chainTransfers, topics.chainLogs, topics.walletsActivity]
    for (const topic of outputs) {
      const records = driver.read<{ id: string; removed: boolean }>(topic)
      const added = records.filter(({ removed }) => !removed).map(({ id }) => id)
      const removed = records.filter((record) => record.removed).map(({ id }) => id)
      expect(removed).toEqual(added.toReversed())
    }
    expect(driver.standing(topics.chainTransfers)).toEqual([])
  })

  it('carries revision and finality of the block when it comes again', () => {
    const driver = run()
    driver.send(topics.chainBlocks, { ...block, removed: true }, place(2, '0xb1', '0xb0'))
    driver.send(topics.chainBlocks, { ...block, revision: 1, finalized: 1 }, place(3, '0xb0', '0xb1'))
    const last = driver.read(topics.chainTransfers).at(-1)
    expect(last).toMatchObject({ revision: 1, finalized: 1, removed: false })
    expect(driver.standing(topics.chainTransfers)).toHaveLength(5)
  })
})
