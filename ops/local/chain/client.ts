/** The JSON-RPC client of the local chain. */
import { createTestClient, type Hex, http, publicActions, rpcSchema } from 'viem'

type Reorganise = {
  Method: 'anvil_reorg'
  Parameters: [depth: number, transactions: readonly (readonly [raw: Hex, block: number])[]]
  ReturnType: null
}

export type ChainClient = ReturnType<typeof connectTo>

/** A client whose calls of one turn of the event loop go in one request. */
export function connectTo(url: string) {
  const transport = http(url, { batch: { batchSize: 1_000 }, retryCount: 0, timeout: 20_000 })
  return createTestClient({ mode: 'anvil', transport, rpcSchema: rpcSchema<[Reorganise]>() }).extend(publicActions)
}
