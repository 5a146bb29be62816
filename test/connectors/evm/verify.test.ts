/** Recorded blocks verify against their headers, and any change to what a node answers is found. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RpcReceipt, WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import { emptyRoot, orderedTrieRoot } from '../../../connectors/evm/trie-root.ts'
import { faultOf } from '../../../connectors/evm/verify.ts'
import { ethereumBlock, haveRecordings, polygonBlock, recordedChain, withoutRecordings } from './recordings.ts'

describe.skipIf(!haveRecordings)(`a block is verified${withoutRecordings}`, () => {
  it.each([1000000, 4369999, 18000000, 18500000])('Ethereum %i holds to its header', (number) => {
    expect(faultOf(1, ethereumBlock(number))).toBeUndefined()
  })

  it('every header of a recorded chain hashes to what the next one names', () => {
    const chain = recordedChain()
    let verified = 0
    for (const [at, { block, receipts }] of chain.entries()) {
      if (at > 0) expect(block.parentHash).toBe(chain[at - 1]?.block.hash)
      const fault = faultOf(1, { block, receipts: receipts ?? [] })
      if (receipts === undefined) expect(fault).toBe(`${block.transactions.length} transactions have 0 receipts`)
      else expect(fault).toBeUndefined()
      verified += receipts === undefined ? 0 : 1
    }
    expect(verified).toBe(3)
  })

  it('Polygon 50000000 holds to its header', () => {
    const whole = polygonBlock()
    expect(whole.block.transactions).toHaveLength(564)
    expect(whole.receipts.flatMap(({ logs }) => logs)).toHaveLength(877)
    expect(faultOf(137, whole)).toBeUndefined()
  })

  it('takes what Bor appends to a block for no part of what the header commits to', () => {
    const { block, receipts } = ethereumBlock(1000000)
    const [tx, receipt] = [block.transactions[0], receipts[0]]
    if (tx === undefined || receipt === undefined) throw new Error('an empty recording')
    // keccak256('matic-bor-receipt-' ‖ number as 8 bytes ‖ block hash), computed apart
    const hash = '0xcf5d5c025a0c1799d18bd5d5188ad24e88808f0b3f3f88d173273bc98f1a4143'
    const appended: WholeBlock = {
      block: { ...block, transactions: [...block.transactions, { ...tx, hash, transactionIndex: '0x2' }] },
      receipts: [
        ...receipts,
        { ...receipt, transactionHash: hash, logs: [], gasUsed: '0x0', cumulativeGasUsed: '0x0' },
      ],
    }
    expect(faultOf(137, appended)).toBeUndefined()
    expect(faultOf(1, appended)).toMatch(/does not hash to its hash/)
  })
})

describe.skipIf(!haveRecordings)(`an altered answer is found out${withoutRecordings}`, () => {
  const whole = haveRecordings ? ethereumBlock(4369999) : undefined
  const altered = (change: (receipts: RpcReceipt[]) => unknown, of = whole): string | undefined => {
    if (of === undefined) return undefined
    const receipts = structuredClone([...of.receipts])
    change(receipts)
    return faultOf(1, { block: of.block, receipts })
  }

  it('a log left out, with the indexes of the others made to fit', () => {
    const fault = altered((receipts) => {
      receipts.findLast(({ logs }) => logs.length > 0)?.logs.pop()
    })
    expect(fault).toMatch(/bloom filter|receipts' root/)
  })

  it('a log left out whose bits others set as well, which no bloom filter shows', () => {
    const fault = altered((receipts) => {
      const logs = receipts.flatMap((receipt) => receipt.logs.map((log) => ({ receipt, log })))
      const twin = logs.find(({ log }, at) => logs.some((other, place) => place !== at && sameBits(other.log, log)))
      expect(twin).toBeDefined()
      if (twin) twin.receipt.logs = twin.receipt.logs.filter((log) => log !== twin.log)
    }, ethereumBlock(18500000))
    expect(fault).toMatch(/receipts' root/)
  })

  it.each<[string, (receipts: RpcReceipt[]) => unknown, RegExp]>([
    ['two receipts swapped', (r) => r.splice(0, 2, ...r.slice(0, 2).reverse()), /receipt 0 is not of transaction/],
    ['a receipt left out', (r) => r.pop(), /22 transactions have 21 receipts/],
    ['receipts of another block', (r) => r.forEach((one) => (one.blockHash = '0x00')), /receipt 0 is of block 0x00/],
    ['an amount changed', (r) => r.forEach(({ logs }) => logs.forEach((log) => (log.data = `0x${log.data.slice(2, 65)}7`))), /\broot/], // prettier-ignore
    ['gas changed', (r) => r.forEach((one) => (one.gasUsed = '0x1')), /gas does not add up at receipt 0/],
    ['log indexes with a gap', (r) => r.forEach(({ logs }) => logs.forEach((log) => (log.logIndex = '0x9'))), /log 9 stands where log 0 should/], // prettier-ignore
  ])('%s', (_what, change, expected) => {
    expect(altered(change)).toMatch(expected)
  })

  it('a transaction changed, a header changed, a type nobody knows', () => {
    if (whole === undefined) return
    const { block, receipts } = whole
    const [first, ...rest] = block.transactions
    if (first === undefined) throw new Error('an empty recording')
    const withFirst = (tx: typeof first) => faultOf(1, { block: { ...block, transactions: [tx, ...rest] }, receipts })
    expect(withFirst({ ...first, value: '0x1' })).toMatch(/does not hash to its hash/)
    expect(withFirst({ ...first, type: '0x7e' })).toMatch(/is of type 0x7e, which cannot be verified yet/)
    expect(faultOf(1, { block: { ...block, gasLimit: '0x1' }, receipts })).toMatch(/the header hashes to/)
  })
})

describe('the root of an ordered trie', () => {
  it('of nothing is the root of the empty trie', () => {
    expect(orderedTrieRoot([])).toBe(emptyRoot)
  })

  it('tells any two different lists apart, also beyond 128 and 256 items', () => {
    const item = fc.uint8Array({ minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(fc.array(item, { minLength: 1, maxLength: 300 }), fc.nat(), (items, place) => {
        const at = place % items.length
        const changed = items.map((one, index) => (index === at ? Uint8Array.of(...one, 1) : one))
        expect(orderedTrieRoot(changed)).not.toBe(orderedTrieRoot(items))
        expect(orderedTrieRoot(items.slice(0, -1))).not.toBe(orderedTrieRoot(items))
      }),
      { numRuns: 20 },
    )
  })
})

const sameBits = (a: RpcReceipt['logs'][number], b: RpcReceipt['logs'][number]): boolean =>
  a.address === b.address && a.topics.every((topic) => b.topics.includes(topic))
