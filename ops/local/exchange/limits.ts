/** Request weight per IP and minute, and the bans of those who go on after a 429. */

export interface WeightLimits {
  /** 6,000 where it is not given. */
  readonly weightPerMinute?: number
  /** Requests after the first 429 of a minute that lead to a ban; 20 where it is not given. */
  readonly toleratedAfter429?: number
  /** Length of the first ban, doubled each time up to 3 days; 120,000 where it is not given. */
  readonly banMs?: number
}

export type Verdict =
  | { readonly status: 200; readonly usedWeight: number }
  | { readonly status: 429; readonly usedWeight: number; readonly retryAfterS: number }
  | { readonly status: 418; readonly usedWeight: number; readonly retryAfterS: number; readonly bannedUntil: number }

interface Account {
  minute: number
  weight: number
  refused: number
  bannedUntil: number
  bans: number
}

const MAX_BAN_MS = 3 * 86_400_000

/** @see https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#ip-limits */
export class RequestWeights {
  readonly weightPerMinute: number
  private readonly tolerated: number
  private readonly banMs: number
  private readonly accounts = new Map<string, Account>()

  constructor(limits: WeightLimits) {
    this.weightPerMinute = limits.weightPerMinute ?? 6_000
    this.tolerated = limits.toleratedAfter429 ?? 20
    this.banMs = limits.banMs ?? 120_000
  }

  /** Books a request of an IP at a time in milliseconds and says whether it may pass. */
  request(ip: string, weight: number, now: number): Verdict {
    const account = this.accounts.get(ip) ?? { minute: 0, weight: 0, refused: 0, bannedUntil: 0, bans: 0 }
    this.accounts.set(ip, account)
    const minute = Math.floor(now / 60_000)
    if (account.minute !== minute) Object.assign(account, { minute, weight: 0, refused: 0 })
    account.weight += weight
    const usedWeight = account.weight
    if (now < account.bannedUntil) return this.banned(account, now)
    if (usedWeight <= this.weightPerMinute) return { status: 200, usedWeight }
    if (account.refused++ < this.tolerated) {
      return { status: 429, usedWeight, retryAfterS: Math.ceil(((minute + 1) * 60_000 - now) / 1_000) }
    }
    account.bannedUntil = now + Math.min(MAX_BAN_MS, this.banMs * 2 ** account.bans++)
    return this.banned(account, now)
  }

  private banned({ bannedUntil, weight }: Account, now: number): Verdict {
    return { status: 418, usedWeight: weight, retryAfterS: Math.ceil((bannedUntil - now) / 1_000), bannedUntil }
  }
}
