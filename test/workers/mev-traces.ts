/** Reads the swaps of a recorded block's call traces, for recordings that have no logs. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { ChainSwap } from '../../schemas/types.ts'

interface Trace {
  readonly action: { readonly from?: string; readonly to?: string; readonly input?: string }
  readonly trace_address: readonly number[]
  readonly transaction_hash: string | null
  readonly transaction_position: number | null
  readonly error: string | null
}

/** UniswapV2Pair.swap, ERC-20 transfer and transferFrom. */
const [swapCall, transferCall, transferFromCall] = ['0x022c0d9f', '0xa9059cbb', '0x23b872dd']
const word = (input: string, index: number): string => input.slice(10 + 64 * index, 74 + 64 * index)
const addressOf = (text: string): string => `0x${text.slice(-40)}`
const at = (trace: Trace): string => trace.trace_address.map((step) => String(step).padStart(4, '0')).join()

/** The V2 swaps that were carried out, in order: what went in is what was sent to the pool before in the transaction. */
export function swapsOf(file: string): ChainSwap[] {
  const { traces, block_number: block, block_timestamp: time }: { traces: Trace[]; block_number: number; block_timestamp: number | null } = JSON.parse(gunzipSync(readFileSync(file)).toString()) // prettier-ignore
  const byTransaction = Map.groupBy(traces, (trace) => trace.transaction_position ?? -1)
  const fields = {
    chainId: 1,
    block,
    blockHash: `0x${block}`,
    // Some recordings leave it out.
    ts: (time ?? 1_626_000_000) * 1_000_000,
    finalized: 0,
    removed: false,
  }
  return [...byTransaction]
    .toSorted(([a], [b]) => a - b)
    .flatMap(([txIndex, calls]) => {
      const ordered = calls.filter(({ error }) => error === null).toSorted((a, b) => (at(a) < at(b) ? -1 : 1))
      const sent = new Map<string, bigint>()
      return ordered.flatMap(
        ({ action: { from = '', to = '', input = '' }, transaction_hash: hash }, logIndex): ChainSwap[] => {
          const txHash = hash ?? ''
          const call = input.slice(0, 10)
          if (call === transferCall) sent.set(addressOf(word(input, 0)), BigInt(`0x${word(input, 1)}`))
          if (call === transferFromCall) sent.set(addressOf(word(input, 1)), BigInt(`0x${word(input, 2)}`))
          if (call !== swapCall) return []
          const [out0, out1] = [BigInt(`0x${word(input, 0)}`), BigInt(`0x${word(input, 1)}`)]
          const amountIn = sent.get(to) ?? 0n
          const amounts = out0 > 0n ? [-out0, amountIn] : [amountIn, -out1]
          const place = { txHash, txIndex, logIndex, id: `1:${fields.blockHash}:${txHash}:${logIndex}`, revision: 0 }
          const parties = {
            pool: to,
            trader: ordered[0]?.action.from ?? '',
            sender: from,
            recipient: addressOf(word(input, 2)),
          }
          const [amount0, amount1] = amounts.map(String)
          return [
            { ...fields, ...place, ...parties, protocol: 'uniswap-v2', amount0: amount0 ?? '', amount1: amount1 ?? '' },
          ]
        },
      )
    })
}
