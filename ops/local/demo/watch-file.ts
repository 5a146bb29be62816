/** The watch file of the demo: what the simulated exchange and the local chain hold, and a rule for each pattern. */
import { writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import type { ChainWatch } from '../chain/watch.ts'

export interface WatchParts {
  readonly symbols: readonly string[]
  readonly chains: readonly ChainWatch[]
  readonly telegramUrl: string
  readonly webhookUrl: string
  /** How far back feeds begin, such as 20m. */
  readonly lookback: string
}

/** Chats and secrets of the demo's receivers; they guard nothing. */
export const demoSecrets = {
  telegramToken: '12345:demo',
  telegramChat: '-100200300',
  webhookSecret: 'whsec_ZGVtb2RlbW9kZW1vZGVtb2RlbW9kZW1vZGVtbw==',
}

const channels = ['telegram', 'webhook']
const patternRule = (pattern: string, severity: string, title: string) => ({
  name: pattern,
  topic: 'patterns.matches.v1',
  where: [{ field: 'pattern', is: pattern }],
  severity,
  group: `${pattern}:{subject}`,
  title,
  text: '{summary}',
  channels,
})

/** Writes the file. */
export function writeWatchFile(path: string, { symbols, chains, telegramUrl, webhookUrl, lookback }: WatchParts): void {
  const watch = {
    venues: { 'binance-spot': { symbols, lookback, staleAfter: '8s' } },
    chains,
    alerts: [
      patternRule('price-shock', 'critical', 'Price shock on {symbol}'),
      {
        ...patternRule('whale-transfer', 'warning', 'Whale transfer of {facts.usd} USD'),
        text: '{summary} in {facts.txHash}',
      },
      patternRule('sandwich', 'warning', 'Sandwich in pool {subject}'),
      patternRule('wash-ring', 'warning', 'Wash trading of {subject}'),
      patternRule('address-poisoning', 'warning', 'Address poisoning of {subject}'),
      {
        name: 'risky-wallet',
        topic: 'risk.wallets.v1',
        where: [{ field: 'score', atLeast: 75 }],
        severity: 'critical',
        group: 'risky-wallet:{wallet}',
        title: 'Wallet {wallet} scores {score}',
        every: '10m',
        channels: ['webhook'],
      },
    ],
    channels: {
      telegram: {
        kind: 'telegram',
        chatId: demoSecrets.telegramChat,
        tokenFrom: 'DEMO_TELEGRAM_TOKEN',
        baseUrl: telegramUrl,
      },
      webhook: { kind: 'webhook', url: webhookUrl, secretFrom: 'DEMO_WEBHOOK_SECRET' },
    },
  }
  writeFileSync(path, `# Written by the demo.\n${stringify(watch)}`)
}
