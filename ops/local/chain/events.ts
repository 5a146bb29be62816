/** The events that can be planted, and their decoys. */
import type { Address } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { addressOf } from './address.ts'
import { amountOf, DUSD, type Erc20, type Pool, pools, thinTokens, type Token, tradedTokens } from './contracts.ts'
import type { Random } from './random.ts'

export type EventName =
  | 'whale-transfer'
  | 'exchange-move'
  | 'reorg'
  | 'sandwich'
  | 'three-swaps'
  | 'wash-ring'
  | 'mutual-trade'
  | 'poisoning-dust'
  | 'poisoning-zero'
  | 'stranger-dust'

export type Pattern = 'whale-transfer' | 'sandwich' | 'wash-ring' | 'address-poisoning'

export type Action =
  | { readonly kind: 'transfer'; readonly token: Token; readonly to: Address; readonly amount: bigint }
  | {
      /** By leave of `owner`, which the genesis gives where `amount` is not 0. */
      readonly kind: 'transfer-from'
      readonly token: Erc20
      readonly owner: Address
      readonly to: Address
      readonly amount: bigint
    }
  | {
      readonly kind: 'swap'
      readonly pool: Pool
      readonly tokenIn: Erc20
      /** 'received': what the event's first swap, in the same block, paid out. */
      readonly amount: bigint | 'received'
    }

/** One transaction; `block` counts from the event's first. */
export interface Step {
  readonly block: number
  readonly account: PrivateKeyAccount
  readonly action: Action
}

/** An event without its time. */
export interface EventDraft {
  readonly name: EventName
  readonly pattern: Pattern
  /** A decoy looks like the pattern and is none. */
  readonly decoy: boolean
  readonly subject: string
  /** Between whom something moves, as detectors name them; see `participants` for all who take part. */
  readonly wallets: readonly Address[]
  readonly steps: readonly Step[]
  /** A reorganisation of this depth removes the event's block as soon as it has depth - 1 blocks on top. */
  readonly removedAt?: number
}

export interface Making {
  readonly random: Random
  readonly chainId: number
  /** From this worth on a transfer is a whale's, in US dollars. */
  readonly whaleUsd: number
  /** An account that nobody else asks for. */
  readonly account: (role: string) => PrivateKeyAccount
}

export const reorgDepth = 3

/** A whale transfer and, larger, an exchange's move between its own wallets. */
export function whales(
  { random, chainId, whaleUsd, account }: Making,
  coin: Token,
  exchange: PrivateKeyAccount[],
): EventDraft[] {
  const move = (name: EventName, decoy: boolean, from: PrivateKeyAccount, to: Address, times: number): EventDraft => {
    const action: Action = { kind: 'transfer', token: coin, to, amount: amountOf(coin, whaleUsd * times) }
    const wallets = [addressOf(from), to]
    const subject = `${chainId}:${coin.address}`
    return { name, pattern: 'whale-transfer', decoy, subject, wallets, steps: [{ block: 0, account: from, action }] }
  }
  const [hot = account('exchange hot'), cold = account('exchange cold')] = exchange
  return [
    move('whale-transfer', false, account('whale'), addressOf(account('whale receiver')), random.between(2, 4)),
    move('exchange-move', true, hot, addressOf(cold), random.between(5, 10)),
  ]
}

/** A whale transfer whose block a reorganisation takes away. */
export function removedWhale(making: Making, coin: Token): EventDraft {
  const from = making.account('removed whale')
  const to = addressOf(making.account('removed whale receiver'))
  const amount = amountOf(coin, making.whaleUsd * making.random.between(2, 4))
  return {
    name: 'reorg',
    pattern: 'whale-transfer',
    decoy: false,
    subject: `${making.chainId}:${coin.address}`,
    wallets: [addressOf(from), to],
    steps: [{ block: 0, account: from, action: { kind: 'transfer', token: coin, to, amount } }],
    removedAt: reorgDepth,
  }
}

/** A sandwich, and the same three swaps by three who do not know each other. */
export function sandwiches({ random, chainId, account }: Making): EventDraft[] {
  const swaps = (
    name: EventName,
    decoy: boolean,
    accounts: readonly [PrivateKeyAccount, PrivateKeyAccount, PrivateKeyAccount],
  ): EventDraft => {
    const pool = random.pick(pools)
    const [tokenIn, tokenOut] = random.next() < 0.5 ? [pool.token0, pool.token1] : [pool.token1, pool.token0]
    const swap = (who: PrivateKeyAccount, token: Erc20, amount: bigint | 'received'): Step => {
      return { block: 0, account: who, action: { kind: 'swap', pool, tokenIn: token, amount } }
    }
    return {
      name,
      pattern: 'sandwich',
      decoy,
      subject: `${chainId}:${pool.address}`,
      wallets: [...new Set(accounts.map(addressOf))],
      steps: [
        swap(accounts[0], tokenIn, amountOf(tokenIn, random.between(20_000, 40_000))),
        swap(accounts[1], tokenIn, amountOf(tokenIn, random.between(40_000, 80_000))),
        swap(accounts[2], tokenOut, 'received'),
      ],
    }
  }
  const attacker = account('sandwich attacker')
  return [
    swaps('sandwich', false, [attacker, account('sandwich victim'), attacker]),
    swaps('three-swaps', true, [account('swap 1'), account('swap 2'), account('swap 3')]),
  ]
}

/** Three or four wallets pass about the same amount of a thin token round, two or three times. */
export function washRing({ random, chainId, account }: Making): EventDraft {
  const size = random.int(3, 4)
  const token = random.pick(thinTokens)
  const usd = random.between(20_000, 60_000)
  const ring = Array.from({ length: size }, (_, index) => account(`ring ${index}`))
  const wallets = ring.map(addressOf)
  const steps = Array.from({ length: size * random.int(2, 3) }, (_, hop): Step => {
    const to = at(wallets, (hop + 1) % size)
    const amount = amountOf(token, usd * random.between(0.985, 1.015))
    return { block: hop >> 1, account: at(ring, hop % size), action: { kind: 'transfer', token, to, amount } }
  })
  return {
    name: 'wash-ring',
    pattern: 'wash-ring',
    decoy: false,
    subject: `${chainId}:${token.address}`,
    wallets,
    steps,
  }
}

/** Two wallets send each other the same once, at a size that is ordinary for the token. */
export function mutualTrade({ random, chainId, account }: Making): EventDraft {
  const token = random.pick(tradedTokens)
  const usd = random.between(300, 1_500)
  const [a, b] = [account('mutual a'), account('mutual b')]
  const send = (block: number, from: PrivateKeyAccount, to: PrivateKeyAccount): Step => {
    const amount = amountOf(token, usd * random.between(0.99, 1.01))
    return { block, account: from, action: { kind: 'transfer', token, to: addressOf(to), amount } }
  }
  return {
    name: 'mutual-trade',
    pattern: 'wash-ring',
    decoy: true,
    subject: `${chainId}:${token.address}`,
    wallets: [addressOf(a), addressOf(b)],
    steps: [send(0, a, b), send(2, b, a)],
  }
}

/** After a payment, dust from a look-alike of the payee; the same with a transfer of nothing to it; dust from a stranger. */
export function poisonings({ random, chainId, account }: Making): EventDraft[] {
  const bait = (name: EventName, decoy: boolean, digits: number, bait: 'dust' | 'nothing'): EventDraft => {
    const [payer, attacker] = [account(`${name} victim`), account(`${name} attacker`)]
    const [victim, payee] = [addressOf(payer), addressOf(account(`${name} payee`))]
    const alike = lookAlike(payee, digits, random)
    const token = bait === 'dust' ? random.pick(tradedTokens) : DUSD
    const payment: Action = { kind: 'transfer', token, to: payee, amount: amountOf(token, random.between(500, 5_000)) }
    // The forged address has no key: it lets the attacker spend for it, and nobody needs leave to spend nothing.
    const [owner, to] = bait === 'dust' ? [alike, victim] : [victim, alike]
    const amount = bait === 'dust' ? amountOf(token, random.between(0.01, 0.5)) : 0n
    return {
      name,
      pattern: 'address-poisoning',
      decoy,
      subject: `${chainId}:${victim}`,
      wallets: [victim, payee, alike],
      steps: [
        { block: 0, account: payer, action: payment },
        { block: 2, account: attacker, action: { kind: 'transfer-from', token, owner, to, amount } },
      ],
    }
  }
  return [
    bait('poisoning-dust', false, 4, 'dust'),
    bait('poisoning-zero', false, 4, 'nothing'),
    bait('stranger-dust', true, 2, 'dust'),
  ]
}

/** An address with the same first and last `digits` hex digits, and others beside them. */
function lookAlike(address: Address, digits: number, random: Random): Address {
  const other = (digit: string): string => (Number.parseInt(digit, 16) ^ random.int(1, 15)).toString(16)
  const [front, back] = [2 + digits, 42 - digits]
  const middle = random.hex(back - front - 2)
  return `0x${address.slice(2, front)}${other(address.charAt(front))}${middle}${other(address.charAt(back - 1))}${address.slice(back)}`
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index]
  if (item === undefined) throw new RangeError(`no item ${index}`)
  return item
}
