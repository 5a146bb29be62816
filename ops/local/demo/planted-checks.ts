/** Compares each planted event, and each decoy, with what was detected. */
import type { Chain } from '../chain/chain.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Check } from './checks.ts'
import type { Tables } from './database.ts'

export interface PlantedResult {
  readonly what: string
  readonly expected: string
  readonly found: string
  readonly ok: boolean
}

interface Match extends Record<string, unknown> {
  readonly id: string
  readonly pattern: string
  readonly subject: string
  readonly symbol: string | null
  readonly evidence: readonly string[]
  readonly summary: string
}

export interface PlantedOutcome {
  readonly planted: readonly PlantedResult[]
  readonly checks: readonly Check[]
}

/**
 * @param restFrom when trading was stopped, milliseconds: silence after it is no wonder
 * @returns what was planted with what was found, and the checks that follow
 */
export async function checkPlanted(
  exchange: Pick<Exchange, 'planted' | 'decoys'>,
  chain: Pick<Chain, 'planted' | 'decoys'>,
  tables: Tables,
  restFrom: number,
): Promise<PlantedOutcome> {
  const matches = await tables.query<Match>(
    'SELECT id, pattern, subject, symbol, evidence, summary FROM pattern_matches',
  )
  const quiet = await tables.query<{ feed: string }>(
    "SELECT feed FROM feed_status WHERE status = 'stale' AND received_at < to_timestamp($1 / 1000.0)",
    [restFrom],
  )
  const stale = quiet.map(({ feed }) => feed)
  const explained = new Set<string>()
  const planted = [...chainResults(chain, matches, explained), ...marketResults(exchange, matches, stale, explained)]
  const misses = planted
    .filter(({ ok }) => !ok)
    .map(({ what, expected, found }) => `${what}: expected ${expected}, found ${found}`)
  const decoys = decoyFaults(exchange, chain, matches, stale)
  const others = matches.filter(({ id }) => !explained.has(id)).map(({ summary }) => summary)
  const verdict = (name: string, faults: readonly string[], detail: string): Check => ({
    name,
    ok: faults.length === 0,
    detail: faults.length === 0 ? detail : faults.join('; '),
  })
  return {
    planted,
    checks: [
      verdict('every planted event is found', misses, `${planted.length} of ${planted.length}`),
      verdict('no decoy is found', decoys, `${chain.decoys().length + exchange.decoys.length} decoys`),
      verdict('nothing else is found', others, 'none'),
    ],
  }
}

function chainResults(
  chain: Pick<Chain, 'planted'>,
  matches: readonly Match[],
  explained: Set<string>,
): PlantedResult[] {
  return chain.planted().map(({ name, expected, removed }) => {
    const found = matches.filter(
      ({ pattern, subject, evidence }) =>
        pattern === expected.pattern && subject === expected.subject && restsOn(evidence, expected.records),
    )
    for (const { id } of found) explained.add(id)
    if (removed !== undefined)
      return {
        what: name,
        expected: 'retracted',
        found: found.length === 0 ? 'retracted' : `${found.length} still there`,
        ok: found.length === 0,
      }
    return {
      what: name,
      expected: `1 ${expected.pattern}`,
      found: `${found.length} ${expected.pattern}`,
      ok: found.length === 1,
    }
  })
}

function marketResults(
  exchange: Pick<Exchange, 'planted'>,
  matches: readonly Match[],
  stale: readonly string[],
  explained: Set<string>,
): PlantedResult[] {
  const results: PlantedResult[] = []
  for (const event of exchange.planted()) {
    if (event.what === 'flash-crash') {
      const found = matches.filter(({ pattern, symbol }) => pattern === 'price-shock' && symbol === event.symbol)
      for (const { id } of found) explained.add(id)
      results.push({
        what: event.what,
        expected: `price-shock on ${event.symbol}`,
        found: `${found.length} on ${event.symbol}`,
        ok: found.length >= 1,
      })
    } else {
      const ok = stale.some((feed) => feed.includes(event.symbol))
      results.push({
        what: event.what,
        expected: `${event.symbol} stale`,
        found: ok ? `${event.symbol} stale` : 'none',
        ok,
      })
    }
  }
  return results
}

function decoyFaults(
  exchange: Pick<Exchange, 'decoys'>,
  chain: Pick<Chain, 'decoys'>,
  matches: readonly Match[],
  stale: readonly string[],
): string[] {
  const faults = chain
    .decoys()
    .flatMap(({ name, expected }) =>
      matches
        .filter(({ pattern, evidence }) => pattern === expected.pattern && restsOn(evidence, expected.records))
        .map(({ summary }) => `${name}: ${summary}`),
    )
  for (const { what, symbol } of exchange.decoys) {
    if (what === 'drift')
      faults.push(
        ...matches
          .filter((match) => match.pattern === 'price-shock' && match.symbol === symbol)
          .map(({ summary }) => `drift: ${summary}`),
      )
    else if (stale.some((feed) => feed.includes(symbol))) faults.push(`${what}: ${symbol} was called stale`)
  }
  return faults
}

/** A match rests on records, or on what was made of them, whose ids begin with theirs. */
const restsOn = (evidence: readonly string[], records: readonly string[]): boolean =>
  records.some((id) => evidence.some((other) => other === id || other.startsWith(`${id}:`)))
