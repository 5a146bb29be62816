import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAddress } from 'viem'
import { afterAll, describe, expect, it } from 'vitest'
import { FatalError, oneLine } from '../../../workers/runtime/errors.ts'
import { loadWatch } from '../../../workers/runtime/load-watch.ts'

const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-watch-'))
afterAll(() => rmSync(folder, { recursive: true }))

const load = (yaml: string) => {
  const path = join(folder, 'watch.yaml')
  writeFileSync(path, yaml)
  return loadWatch(path)
}

/** The faults of a watch file as line:column: text. */
function faults(yaml: string): string[] {
  try {
    load(yaml)
  } catch (error) {
    if (error instanceof FatalError) return error.details.map((detail) => detail.replace(`${folder}/watch.yaml:`, ''))
    throw error
  }
  return []
}

const example = new URL('../../../watch.example.yaml', import.meta.url).pathname

describe('watch.example.yaml', () => {
  it('is valid and shows every detection and kind of channel', () => {
    const watch = loadWatch(example)
    expect(watch.venues['binance-spot']?.symbols).toContain('BTC-USDT')
    const patterns = watch.alerts.flatMap(({ where }) => where.flatMap((one) => ('is' in one ? one.is : [])))
    expect(patterns).toEqual(['price-shock', 'whale-transfer', 'wash-ring', 'sandwich', 'address-poisoning'])
    expect(Object.values(watch.channels).map(({ kind }) => kind)).toEqual(['webhook', 'telegram'])
  })

  it('holds addresses whose checksums are right', () => {
    const addresses = readFileSync(example, 'utf8').match(/0x[0-9a-fA-F]{40}/g) ?? []
    expect(addresses.length).toBeGreaterThan(10)
    expect(addresses.filter((address) => !isAddress(address))).toEqual([])
  })
})

describe('loadWatch', () => {
  it('turns lengths of time into microseconds and addresses into lower case, quoted or not', () => {
    const watch = load(`
chains:
  - chainId: 1
    name: ethereum
    finalityDepth: 64
    blockTime: 12s
    native: { symbol: ETH, priceUsd: 3000 }
    contracts: [0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2, '0x6B175474E89094C44Da98b954EedeAC495271d0F']
channels:
  desk: { kind: telegram, chatId: -1001234567890, tokenFrom: BOT_TOKEN }
`)
    expect(watch.chains[0]?.blockTime).toBe(12_000_000)
    expect(watch.chains[0]?.contracts).toEqual([
      '0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2',
      '0x6b175474e89094c44da98b954eedeac495271d0f',
    ])
    expect(watch.channels['desk']).toMatchObject({ chatId: '-1001234567890' })
    expect(watch.detection.priceShock).toEqual({ move: 0.05, within: 10_000_000 })
  })

  it('reports every fault at once, with line, column, path and what was expected', () => {
    expect(
      faults(`venues:
  binance-spot:
    symbols: [BTC-USDT, ethusdt]
    staleAfter: 5 minutes
detection:
  sandwich: { minVictims: 0 }
alerts:
  - name: a
    topic: patterns.matches.v1
    where: [{ field: pattern, equals: sandwich }]
    severity: loud
    title: t
    channels: [ops]
  - name: a
    topic: patterns.matches.v1
    severity: info
    channels: [desk]
channels:
  desk: { kind: fax }
`),
    ).toEqual([
      '3:25: venues.binance-spot.symbols[1]: expected BASE-QUOTE in capitals, such as BTC-USDT, got "ethusdt"',
      '4:17: venues.binance-spot.staleAfter: expected a length of time such as 30s, 10m or 4h, got "5 minutes"',
      '6:27: detection.sandwich.minVictims: expected number to be >=1, got 0',
      '10:13: alerts[0].where[0]: expected field and one of is, in, atLeast, atMost, got {"field":"pattern","equals":"sandwich"}',
      '11:15: alerts[0].severity: expected one of "info", "warning", "critical", got "loud"',
      '13:16: alerts[0].channels[0]: no channel is called ops; there are: desk',
      '14:5: alerts[1].title: expected string, got nothing',
      '14:11: alerts[1].name: "a" stands in alerts[0] already',
      '19:17: channels.desk.kind: expected webhook or telegram, got {"kind":"fax"}',
    ])
  })

  it('names the key that an unknown one looks like', () => {
    expect(
      faults(`detection:
  whaleTransfers: {}
  washRing: { min_share: 0.1 }
channels:
  desk: { kind: telegram, chatId: '1', tokenFrom: T, baseURL: x }
venues: { kraken: {} }
`),
    ).toEqual([
      '2:3: detection.whaleTransfers: no such key; is whaleTransfer meant?',
      '3:15: detection.washRing.min_share: no such key; is minShare meant?',
      '5:54: channels.desk.baseURL: no such key; is baseUrl meant?',
      '6:11: venues.kraken: no such key; there are: binance-spot',
    ])
  })

  it('points into what an anchor stands for', () => {
    const yaml = `venues:
  binance-spot: { symbols: &list [btc] }
alerts:
  - { name: a, topic: risk.markets.v1, severity: info, title: t, channels: *list }
`
    expect(faults(yaml).map((fault) => fault.split(' ')[0])).toEqual(['2:35:', '2:35:'])
  })

  it('reports broken YAML, a key given twice and an empty file', () => {
    expect(faults('alerts: [1\nchains: 2\nchains: 3\n').map((fault) => fault.split(' ')[0])).toEqual(['2:1:', '3:1:'])
    expect(faults('')).toEqual(['1:1: the file: expected object, got null'])
  })

  it('says what to do where there is no file', () => {
    expect(() => loadWatch(join(folder, 'absent.yaml'))).toThrow(FatalError)
    try {
      loadWatch(join(folder, 'absent.yaml'))
    } catch (error) {
      expect(oneLine(error)).toMatch(/^Reading the watch file: ENOENT.*: set WATCH_FILE, or copy watch\.example\.yaml/)
    }
  })
})
