/** EVM chains → chain.blocks.v1: every block whole and verified, reorganisations as removals. */
import { topics } from '../schemas/topics.ts'
import { defineConnector, type ConnectorSession } from '../workers/runtime/definitions.ts'
import { FatalError } from '../workers/runtime/errors.ts'
import type { WatchedChain } from '../workers/runtime/watch.ts'
import { followChain } from './evm/chain-follower.ts'
import { originOf } from './evm/chain-window.ts'

export const evm = defineConnector({
  name: 'evm',
  outputs: [topics.chainBlocks, topics.feedsStatus],
  feeds: (watch) => watch.chains.map(({ chainId }) => originOf(chainId)),
  async run(session) {
    const held = new Set(session.feeds.map(({ feed }) => feed))
    const chains = session.context.watch.chains.filter(({ chainId }) => held.has(originOf(chainId)))
    const followed = chains.map((chain) => ({ chain, urls: urlsOf(session, chain) }))
    const failed = new AbortController()
    const signal = AbortSignal.any([session.signal, failed.signal])
    const following = followed.map(async ({ chain, urls }) => {
      try {
        await followChain({ session, chain, urls, random: Math.random, signal })
      } finally {
        failed.abort()
      }
    })
    const outcomes = await Promise.allSettled(following)
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  },
})

/** @throws FatalError where the environment names no node of the chain */
function urlsOf(session: ConnectorSession, { chainId, name }: WatchedChain): readonly string[] {
  const urls = session.context.config.evmRpcUrls.get(chainId) ?? []
  if (urls.some((url) => url.startsWith('http'))) return urls
  throw new FatalError('configuration', `EVM_RPC_URLS names no http or https node of chain ${chainId} (${name})`, {
    hint: `set EVM_RPC_URLS=${chainId}=https://…`,
  })
}
