/** The step: blocks in, records out in the chain's order, and what a removed block held taken back in reverse. */
import { describe, expect, it } from 'vitest'
import { blockRecord } from '../../connectors/evm/records.ts'
import { topics } from '../../schemas/topics.ts'
import { decodeBlock } from '../../workers/decode-block.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { sequencePosition } from '../../workers/runtime/position.ts'
import { emptyBlock, ethereumBlock, haveRecordings, withoutRecordings } from '../connectors/evm/recordings.ts'
import { createDriver, type Driver } from '../support/driver.ts'
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

describe('a removal after the watch file has changed', () => {
  interface Written {
    readonly id: string
    readonly removed: boolean
    readonly revision: number
  }
  const outputs: readonly Topic<Written>[] = decodeBlock.outputs as readonly Topic<Written>[]
  const [chain] = watch.chains
  const watching = (rest: object) => ({ chains: [{ ...chain, ...rest }] })
  const nothing = watching({ contracts: [], tokens: [] })
  const first = place(1, '0xb0', '0xb1')
  const second = place(2, '0xb1', '0xb0')

  /** What was told of each topic; what was taken back must be the same: keys, ids, revisions, in reverse. */
  function expectTakenBack(driver: Driver): Record<string, number> {
    const told = outputs.map((topic): [string, number] => {
      const records = driver.read(topic).map((record) => ({ ...record, key: topic.key(record) }))
      const added = records.filter(({ removed }) => !removed)
      const removed = records.filter((record) => record.removed)
      expect(removed).toEqual(added.toReversed().map((record) => ({ ...record, removed: true })))
      return [topic.name, added.length]
    })
    return Object.fromEntries(told)
  }
  const send = (driver: Driver, removed: boolean, record = block) =>
    driver.send(topics.chainBlocks, { ...record, removed }, removed ? second : first)

  it('takes back what was told of a contract and a token that were dropped', () => {
    const driver = createDriver({ steps: [decodeBlock], watch })
    send(driver, false)
    driver.restart({ watch: nothing })
    driver.restart()
    send(driver, true)
    expect(expectTakenBack(driver)).toMatchObject({ 'chain.logs.v1': 3, 'chain.transfers.v1': 5 })
  })

  it('takes nothing back of a contract and a token that were added', () => {
    const driver = createDriver({ steps: [decodeBlock], watch: nothing })
    send(driver, false)
    driver.restart({ watch })
    send(driver, true)
    expect(expectTakenBack(driver)).toMatchObject({ 'chain.logs.v1': 0, 'chain.transfers.v1': 4 })
  })

  it('reads the block as it is watched now when it comes again, and takes that back too', () => {
    const driver = createDriver({ steps: [decodeBlock], watch })
    send(driver, false)
    driver.restart({ watch: nothing })
    send(driver, true)
    driver.send(topics.chainBlocks, { ...block, revision: 1 }, place(3, '0xb0', '0xb1'))
    driver.restart({ watch })
    driver.send(topics.chainBlocks, { ...block, revision: 1, removed: true }, place(4, '0xb1', '0xb0'))
    const logs = driver.read(topics.chainLogs).map(({ removed, revision }) => `${removed} ${revision}`)
    expect(logs).toEqual([...Array(3).fill('false 0'), ...Array(3).fill('true 0')])
    const transfers = driver.read(topics.chainTransfers).map(({ removed, revision }) => `${removed} ${revision}`)
    expect(transfers).toEqual(['false 0', 'true 0', 'false 1', 'true 1'].flatMap((text, at) => Array(at < 2 ? 5 : 4).fill(text))) // prettier-ignore
  })

  it('takes back a block from before the state by what is watched now', () => {
    const driver = createDriver({ steps: [decodeBlock], watch })
    send(driver, true)
    expect(driver.read(topics.chainLogs).map(({ removed }) => removed)).toEqual([true, true, true])
  })

  it('keeps settings and blocks no longer than until they are final', () => {
    const driver = createDriver({ steps: [decodeBlock], watch })
    const names = () => [...driver.state(decodeBlock).keys()].map((name) => name.split(' ')[1]?.slice(0, 2))
    send(driver, false)
    driver.restart({ watch: nothing })
    expect(names()).toEqual(expect.arrayContaining(['v:', 'b:']))
    const next = { ...block, id: '1:0xb2', block: 2, blockHash: '0xb2', parentHash: '0xb1', transactions: [] }
    driver.send(topics.chainBlocks, next, place(2, '0xb1', '0xb2'))
    const last = { ...next, id: '1:0xb3', block: 3, blockHash: '0xb3', parentHash: '0xb2', finalized: 2 }
    driver.send(topics.chainBlocks, last, place(3, '0xb2', '0xb3'))
    expect(names().filter((name) => name === 'b:')).toHaveLength(2)
    expect(names().filter((name) => name === 'v:')).toHaveLength(1)
  })

  it.skipIf(!haveRecordings)(`holds for every kind of record of a whole block${withoutRecordings}`, () => {
    const record = blockRecord(1, ethereumBlock(18_000_000), { finalized: 0, revision: 0, receivedAt: 0 })
    const logs = record.transactions.flatMap((one) => one.logs)
    const uniswapPairs = [...new Set(logs.map(({ address }) => address))].slice(0, 20)
    const watched = watching({ contracts: uniswapPairs, tokens: [{ address: '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2', symbol: 'WETH', decimals: 18, priceUsd: 1 }] }) // prettier-ignore
    for (const [before, after] of [
      [watched, nothing],
      [nothing, watched],
    ]) {
      const driver = createDriver({ steps: [decodeBlock], watch: before })
      send(driver, false, record)
      driver.restart({ watch: after })
      send(driver, true, record)
      const told = expectTakenBack(driver)
      expect(told['chain.transfers.v1']).toBeGreaterThan(100)
      expect(told['chain.logs.v1'] === 0).toBe(before === nothing)
    }
  })
})
