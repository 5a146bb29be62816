/** Logs and transactions put together by hand, with signatures hashed from their text. */
import { keccak256, numberToHex, stringToHex } from 'viem/utils'
import type { BlockLog, BlockTransaction } from '../../../schemas/types.ts'

/** The first topic of an event. */
export const signature = (event: string): string => keccak256(stringToHex(event))

/** A number as a word of 32 bytes without 0x, in two's complement where it is negative. */
export const word = (value: number): string => numberToHex(BigInt.asUintN(256, BigInt(value)), { size: 32 }).slice(2)

/** An address as a topic. */
export const holder = (number: number): string => `0x${word(number)}`

/** Two dynamic arrays, ABI-encoded. */
export function arrayWords(first: readonly number[], second: readonly number[]): string {
  const head = [64, 64 + 32 * (first.length + 1)]
  return `0x${[...head, first.length, ...first, second.length, ...second].map((one) => word(one)).join('')}`
}

export const logOf = (some: Partial<BlockLog>): BlockLog => ({
  logIndex: 3,
  address: `0x${'ab'.repeat(20)}`,
  topics: [],
  data: '0x',
  ...some,
})

export const transactionWith = (some: Partial<BlockTransaction>): BlockTransaction => ({
  hash: '0xt',
  index: 0,
  from: '0xaa',
  to: '0xbb',
  value: '0',
  nonce: 0,
  type: 2,
  input: '0x',
  gas: '21000',
  gasUsed: '21000',
  effectiveGasPrice: '1',
  success: true,
  contractAddress: null,
  logs: [],
  ...some,
})
