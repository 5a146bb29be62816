/** Synthetic chains for the tests of reorganisations: real headers, numbered, linked and hashed anew. */
import { keccak256, numberToHex, stringToHex } from 'viem/utils'
import { headerHash } from '../../../connectors/evm/encode.ts'
import { linkOf, type Hex, type Link, type WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import { emptyRoot } from '../../../connectors/evm/trie-root.ts'

/** A block without transactions, for machines that have no recordings. */
export const bareBlock: WholeBlock = {
  receipts: [],
  block: {
    number: '0x0',
    hash: '0x',
    parentHash: keccak256('0x'),
    sha3Uncles: '0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347',
    miner: '0x2a65aca4d5fc5b5c859090a6c34d164135398226',
    stateRoot: keccak256('0x01'),
    transactionsRoot: emptyRoot,
    receiptsRoot: emptyRoot,
    logsBloom: `0x${'00'.repeat(256)}`,
    difficulty: '0x0',
    gasLimit: '0x1c9c380',
    gasUsed: '0x0',
    timestamp: '0x65000000',
    extraData: '0x',
    mixHash: keccak256('0x02'),
    nonce: '0x0000000000000000',
    baseFeePerGas: '0x7',
    withdrawalsRoot: emptyRoot,
    blobGasUsed: undefined,
    excessBlobGas: undefined,
    parentBeaconBlockRoot: undefined,
    requestsHash: undefined,
    transactions: [],
  },
}

/** The block under another number and parent; `fork` goes into its extra data, so that branches differ. */
export function rebased(
  { block, receipts }: WholeBlock,
  number: number,
  parentHash: Hex,
  fork: string,
  timestampS = 1_700_000_000 + number * 12,
): WholeBlock {
  const header = {
    ...block,
    number: numberToHex(number),
    parentHash,
    timestamp: numberToHex(timestampS),
    extraData: stringToHex(fork),
  }
  const hash = headerHash(header)
  return { block: { ...header, hash }, receipts: receipts.map((receipt) => ({ ...receipt, blockHash: hash })) }
}

/** `count` linked blocks that follow `parent` (none: the first has number `from`), each with the body of `body`. */
export function branch(
  body: WholeBlock,
  count: number,
  fork: string,
  parent: WholeBlock | { readonly from: number },
): WholeBlock[] {
  const blocks: WholeBlock[] = []
  for (let at = 0; at < count; at += 1) {
    const last = blocks.at(-1) ?? ('block' in parent ? parent : undefined)
    const number = last === undefined ? ('from' in parent ? parent.from : 0) : Number(last.block.number) + 1
    blocks.push(rebased(body, number, last?.block.hash ?? keccak256('0x'), fork))
  }
  return blocks
}

export const linksOf = (blocks: readonly WholeBlock[]): Link[] => blocks.map(({ block }) => linkOf(block))
