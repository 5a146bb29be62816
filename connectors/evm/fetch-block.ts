/** Fetches headers and whole, verified blocks: what does not verify is fetched from another node and never goes on. */
import { numberToHex } from 'viem/utils'
import { z } from 'zod'
import { RetryableError } from '../../workers/runtime/errors.ts'
import type { RpcPool } from './rpc-pool.ts'
import { RpcError, type RpcProvider } from './rpc-provider.ts'
import { linkOf, RpcBlock, RpcHeader, RpcReceipt, type Link, type WholeBlock } from './rpc-types.ts'
import { faultOf } from './verify.ts'

/** A block by its hash, or where that is not known yet by its number. */
export type BlockId = { readonly hash: string } | { readonly number: number }

const Receipts = z.array(RpcReceipt)

/** Fetches a block with its receipts, by hash where possible, so that a reorganisation in between cannot mix two blocks. */
export async function fetchBlock(pool: RpcPool, chainId: number, id: BlockId): Promise<WholeBlock> {
  return pool.use(
    async (provider) => {
      const [block, early] = await Promise.all([
        blockOf(provider, id, RpcBlock, true),
        'hash' in id ? blockReceipts(provider, id.hash) : undefined,
      ])
      const receipts = early ?? (await blockReceipts(provider, block.hash)) ?? (await singleReceipts(provider, block))
      const fault = faultOf(chainId, { block, receipts })
      if (fault === undefined) return { block, receipts }
      const place = `block ${Number(block.number)} (${block.hash}) of ${provider.label}`
      throw new RetryableError('inconsistent-upstream', `${place} does not verify: ${fault}`)
    },
    { explore: true },
  )
}

/** The header of a block by its hash, as a link. */
export async function fetchLink(pool: RpcPool, hash: string): Promise<Link> {
  return pool.use(async (provider) => linkOf(await blockOf(provider, { hash }, RpcHeader, false)))
}

/** What a node calls the newest block, and the number of the block that it calls final. */
export interface Head {
  readonly link: Link
  readonly finalTag: number | undefined
  readonly provider: RpcProvider
}

export async function fetchHead(pool: RpcPool): Promise<Head> {
  return pool.use(async (provider) => {
    const [latest, final] = await Promise.all([
      provider.request('eth_getBlockByNumber', ['latest', false]),
      // Nodes without a beacon chain answer null or an error.
      provider.request('eth_getBlockByNumber', ['finalized', false]).catch((error: unknown) => {
        if (error instanceof RpcError) return null
        throw error
      }),
    ])
    const tag = RpcHeader.safeParse(final)
    return {
      link: linkOf(parse(provider, 'latest block', RpcHeader, latest)),
      finalTag: tag.success ? Number(tag.data.number) : undefined,
      provider,
    }
  })
}

/** The hash that a node holds at a height, undefined where it has no such block. */
export async function hashAt(provider: RpcProvider, number: number): Promise<string | undefined> {
  const answer = await provider.request('eth_getBlockByNumber', [numberToHex(number), false])
  return answer === null ? undefined : parse(provider, `block ${number}`, RpcHeader, answer).hash
}

async function blockOf<T extends RpcHeader>(
  provider: RpcProvider,
  id: BlockId,
  schema: z.ZodType<T>,
  whole: boolean,
): Promise<T> {
  const name = 'hash' in id ? `block ${id.hash}` : `block ${id.number}`
  const answer = await ('hash' in id
    ? provider.request('eth_getBlockByHash', [id.hash, whole])
    : provider.request('eth_getBlockByNumber', [numberToHex(id.number), whole]))
  if (answer === null) throw new RetryableError('stale-upstream', `${provider.label} does not have ${name}`)
  const block = parse(provider, name, schema, answer)
  if ('hash' in id ? block.hash === id.hash : Number(block.number) === id.number) return block
  throw new RetryableError('inconsistent-upstream', `${provider.label} answered another block for ${name}`)
}

/** @returns undefined where the node has no such method */
async function blockReceipts(provider: RpcProvider, hash: string): Promise<readonly RpcReceipt[] | undefined> {
  if (!provider.servesBlockReceipts) return undefined
  const answer = await provider.request('eth_getBlockReceipts', [hash]).catch((error: unknown) => {
    if (!(error instanceof RpcError && error.unsupported)) throw error
    provider.servesBlockReceipts = false
    return undefined
  })
  if (answer === null) throw new RetryableError('stale-upstream', `${provider.label} has no receipts of block ${hash}`)
  return answer === undefined ? undefined : parse(provider, `receipts of block ${hash}`, Receipts, answer)
}

async function singleReceipts(provider: RpcProvider, block: RpcBlock): Promise<readonly RpcReceipt[]> {
  const answers = block.transactions.map(({ hash }) => provider.request('eth_getTransactionReceipt', [hash]))
  return parse(provider, `receipts of block ${block.hash}`, Receipts, await Promise.all(answers))
}

function parse<T>(provider: RpcProvider, name: string, schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unreadable'}`
  throw new RetryableError('inconsistent-upstream', `${provider.label}: ${name}: ${where}`)
}
