/** Recorded blocks decode to what other tools found in them; made-up logs show each kind and each fault. */
import { describe, expect, it } from 'vitest'
import { blockRecord } from '../../../connectors/evm/records.ts'
import type { WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import type { BlockLog, BlockTransaction, ChainBlock } from '../../../schemas/types.ts'
import { decodeBlock } from '../../../workers/decoding/block-decoder.ts'
import {
  emptyBlock,
  etlBlocks,
  etlTransfers,
  ethereumBlock,
  haveRecordings,
  polygonBlock,
  recordedChain,
  withoutRecordings,
} from '../../connectors/evm/recordings.ts'
import { arrayWords, holder, logOf, signature, transactionWith, word } from './made-up-logs.ts'

const record = (whole: WholeBlock, chainId = 1): ChainBlock =>
  blockRecord(chainId, whole, { finalized: 0, revision: 0, receivedAt: 1 })
const count = (records: readonly { protocol: string }[]) => ({
  v2: records.filter(({ protocol }) => protocol === 'uniswap-v2').length,
  v3: records.filter(({ protocol }) => protocol === 'uniswap-v3').length,
})

describe.skipIf(!haveRecordings)(`recorded blocks${withoutRecordings}`, () => {
  it.each([
    [18000000, { v2: 27, v3: 2 }],
    [18500000, { v2: 34, v3: 22 }],
  ])('Ethereum %i holds the swaps that are known of it', (number, swaps) => {
    const decoded = decodeBlock(record(ethereumBlock(number)))
    expect(count(decoded.swaps)).toEqual(swaps)
    expect(decoded.malformed).toEqual([])
  })

  it('Ethereum 17173049 and 17173050 hold the transfers that ethereum-etl found, and the swaps', () => {
    const blocks = etlBlocks()
    expect(blocks.flatMap(({ transactions }) => transactions.flatMap(({ logs }) => logs))).toHaveLength(681)
    const decoded = blocks.map((block) => decodeBlock(block))
    expect(count(decoded.flatMap(({ swaps }) => swaps))).toEqual({ v2: 69, v3: 10 })
    const transfers = decoded.flatMap((one) => one.transfers)
    // ethereum-etl does not look for ERC-1155, of which there is one.
    expect(transfers.filter(({ standard }) => standard === 'erc1155')).toHaveLength(1)
    const found = transfers.filter(({ standard }) => standard === 'erc20' || standard === 'erc721')
    expect(found).toHaveLength(291)
    const ours = found.map((one) => {
      const value = one.standard === 'erc721' ? one.tokenId : one.amount
      return [one.txHash, one.logIndex, one.token, one.from, one.to, value]
    })
    expect(ours).toEqual(
      etlTransfers().map((one) => [
        one.transaction_hash,
        one.log_index,
        one.token_address,
        one.from_address,
        one.to_address,
        one.value,
      ]),
    )
  })

  it('Ethereum 18090205 to 18090218 hold 2,137 transactions, three of them 80 V2 and 22 V3 swaps', () => {
    const decoded = recordedChain().map(({ block, receipts }) => ({
      transactions: block.transactions.length,
      swaps: receipts === undefined ? [] : decodeBlock(record({ block, receipts })).swaps,
    }))
    expect(decoded.reduce((sum, { transactions }) => sum + transactions, 0)).toBe(2137)
    expect(count(decoded.flatMap(({ swaps }) => swaps))).toEqual({ v2: 80, v3: 22 })
  })

  it('Polygon 50000000 holds 564 transactions', () => {
    const decoded = decodeBlock(record(polygonBlock(), 137))
    expect(decoded.transactions).toHaveLength(564)
    expect(decoded.malformed).toEqual([])
  })

  it('every id is there once, and every record carries its block', () => {
    const { transactions, transfers, swaps, activity } = decodeBlock(record(ethereumBlock(18500000)))
    for (const records of [transactions, transfers, swaps, activity]) {
      expect(new Set(records.map(({ id }) => id)).size).toBe(records.length)
      expect(records.every(({ block, chainId }) => block === 18500000 && chainId === 1)).toBe(true)
    }
  })

  it('swaps are signed as the pool sees them: what comes in is positive', () => {
    const { swaps } = decodeBlock(record(ethereumBlock(18500000)))
    for (const swap of swaps) {
      const [amount0, amount1] = [BigInt(swap.amount0), BigInt(swap.amount1)]
      expect(amount0 > 0n ? amount1 <= 0n : amount1 > 0n).toBe(true)
    }
  })
})

/** Decodes one transaction. */
const decoded = (tx: Partial<BlockTransaction>, block: Partial<ChainBlock> = {}, wrapped?: string) =>
  decodeBlock(emptyBlock({ ...block, transactions: [transactionWith(tx)] }), { contracts: new Set(), wrapped })
const ofLog = (log: Partial<BlockLog>, wrapped?: string) => decoded({ logs: [logOf(log)] }, {}, wrapped)

describe('native transfers', () => {
  it('are those of successful transactions with value, also into new contracts', () => {
    expect(decoded({ value: '5' }).transfers).toMatchObject([
      { id: '1:0xb1:0xt:native', standard: 'native', token: 'native', amount: '5', logIndex: null, tokenId: null },
    ])
    expect(decoded({ value: '5', to: null, contractAddress: '0xc0' }).transfers).toMatchObject([{ to: '0xc0' }])
    expect(decoded({ value: '5', success: false }).transfers).toEqual([])
    expect(decoded({ value: '0' }).transfers).toEqual([])
    expect(decoded({ value: '5', success: false }).transactions).toMatchObject([{ success: false, value: '5' }])
  })
})

describe('token transfers', () => {
  const transfer = signature('Transfer(address,address,uint256)')

  it('are ERC-20 with three topics and ERC-721 with four', () => {
    const erc20 = ofLog({ topics: [transfer, holder(1), holder(2)], data: `0x${word(7)}` })
    expect(erc20.transfers).toMatchObject([{ standard: 'erc20', amount: '7', tokenId: null, id: '1:0xb1:0xt:3' }])
    const erc721 = ofLog({ topics: [transfer, holder(1), holder(2), `0x${word(9)}`], data: '0x' })
    expect(erc721.transfers).toMatchObject([{ standard: 'erc721', amount: '1', tokenId: '9' }])
  })

  it('of ERC-1155 come singly or as batches, each with its place in the id', () => {
    const sides = [holder(9), holder(1), holder(2)]
    const single = signature('TransferSingle(address,address,address,uint256,uint256)')
    expect(ofLog({ topics: [single, ...sides], data: `0x${word(4)}${word(100)}` }).transfers).toMatchObject([
      { standard: 'erc1155', tokenId: '4', amount: '100', id: '1:0xb1:0xt:3' },
    ])
    const batch = signature('TransferBatch(address,address,address,uint256[],uint256[])')
    expect(ofLog({ topics: [batch, ...sides], data: arrayWords([4, 5], [100, 200]) }).transfers).toMatchObject([
      { tokenId: '4', amount: '100', id: '1:0xb1:0xt:3:0' },
      { tokenId: '5', amount: '200', id: '1:0xb1:0xt:3:1' },
    ])
    expect(ofLog({ topics: [batch, ...sides], data: arrayWords([], []) })).toMatchObject({
      transfers: [],
      malformed: [],
    })
  })

  it('of the wrapped native currency are mints and burns of a standard of their own, for that contract alone', () => {
    const [deposit, withdrawal] = [signature('Deposit(address,uint256)'), signature('Withdrawal(address,uint256)')]
    const data = `0x${word(3)}`
    const zero = `0x${'0'.repeat(40)}`
    const { address } = logOf({})
    expect(ofLog({ topics: [deposit, holder(1)], data }, address)).toMatchObject({
      transfers: [{ standard: 'weth', from: zero, amount: '3' }],
      activity: [{ direction: 'in', wallet: `0x${'0'.repeat(39)}1` }],
    })
    expect(ofLog({ topics: [withdrawal, holder(1)], data }, address).transfers).toMatchObject([{ to: zero }])
    expect(ofLog({ topics: [deposit, holder(1)], data }).transfers).toEqual([])
  })

  it('are seen by each side, except by nobody', () => {
    const sides = ofLog({ topics: [transfer, holder(1), holder(2)], data: `0x${word(7)}` }).activity
    const [one, two] = [`0x${'0'.repeat(39)}1`, `0x${'0'.repeat(39)}2`]
    expect(sides).toMatchObject([
      { id: '1:0xb1:0xt:3:out', direction: 'out', wallet: one, counterparty: two, amount: '7' },
      { id: '1:0xb1:0xt:3:in', direction: 'in', wallet: two, counterparty: one, amount: '7' },
    ])
    const mint = ofLog({ topics: [transfer, holder(0), holder(2)], data: `0x${word(7)}` })
    expect(mint.activity).toMatchObject([{ direction: 'in', wallet: two }])
  })
})

describe('swaps', () => {
  it('of Uniswap V2 are what comes in less what goes out', () => {
    const topics = [signature('Swap(address,uint256,uint256,uint256,uint256,address)'), holder(1), holder(2)]
    const data = `0x${[100, 1, 0, 40].map((one) => word(one)).join('')}`
    expect(ofLog({ topics, data }).swaps).toMatchObject([{ protocol: 'uniswap-v2', amount0: '100', amount1: '-39' }])
  })

  it('of Uniswap V3 are signed as they are emitted', () => {
    const topics = [signature('Swap(address,address,int256,int256,uint160,uint128,int24)'), holder(1), holder(2)]
    const data = `0x${[-100, 40, 1, 1, -5].map((one) => word(one)).join('')}`
    expect(ofLog({ topics, data }).swaps).toMatchObject([
      { protocol: 'uniswap-v3', amount0: '-100', amount1: '40', trader: '0xaa', id: '1:0xb1:0xt:3' },
    ])
  })
})

describe('logs', () => {
  it('of watched contracts are passed on, whatever they say', () => {
    const block = emptyBlock({ transactions: [transactionWith({ logs: [logOf({ topics: [], data: '0x12' })] })] })
    const watched = { contracts: new Set([logOf({}).address]), wrapped: undefined }
    expect(decodeBlock(block, watched).logs).toMatchObject([{ id: '1:0xb1:0xt:3', topics: [], data: '0x12' }])
    expect(decodeBlock(block).logs).toEqual([])
  })

  it.each<[string, string, number, string]>([
    ['a transfer without data', 'Transfer(address,address,uint256)', 2, '0x'],
    ['a transfer whose arguments are not indexed', 'Transfer(address,address,uint256)', 0, `0x${word(1).repeat(3)}`],
    ['a transfer with a torn word', 'Transfer(address,address,uint256)', 2, '0x1234'],
    ['a transfer of both kinds', 'Transfer(address,address,uint256)', 3, `0x${word(1)}`],
    ['a single of one word', 'TransferSingle(address,address,address,uint256,uint256)', 3, `0x${word(1)}`],
    ['a batch that points outside', 'TransferBatch(address,address,address,uint256[],uint256[])', 3, `0x${word(64)}${word(9e15)}${word(0)}${word(0)}`], // prettier-ignore
    ['a batch that promises more', 'TransferBatch(address,address,address,uint256[],uint256[])', 3, `0x${word(64)}${word(96)}${word(9e15)}${word(0)}`], // prettier-ignore
    ['a batch of unequal lengths', 'TransferBatch(address,address,address,uint256[],uint256[])', 3, arrayWords([1, 2], [3])], // prettier-ignore
    ['a V2 swap of three words', 'Swap(address,uint256,uint256,uint256,uint256,address)', 2, `0x${word(1).repeat(3)}`],
    ['a V3 swap of four words', 'Swap(address,address,int256,int256,uint160,uint128,int24)', 2, `0x${word(1).repeat(4)}`], // prettier-ignore
  ])('that are malformed are told by id and stop nothing: %s', (_what, event, indexed, data) => {
    const bad = logOf({ topics: [signature(event), ...[1, 2, 3].slice(0, indexed).map((one) => holder(one))], data })
    const good = logOf({
      topics: [signature('Transfer(address,address,uint256)'), holder(1), holder(2)],
      data: `0x${word(7)}`,
      logIndex: 4,
    })
    const found = decoded({ logs: [bad, good] })
    expect(found.malformed).toEqual(['1:0xb1:0xt:3'])
    expect(found.transfers).toMatchObject([{ id: '1:0xb1:0xt:4', amount: '7' }])
    expect(found.swaps).toEqual([])
  })
})
