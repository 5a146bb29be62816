/** Addresses and hashes as records carry them: lower case. */
import type { Address, Hex } from 'viem'

export function lower<T extends Hex>(hex: T): T
export function lower(hex: Hex): Hex {
  return `0x${hex.slice(2).toLowerCase()}`
}

export function addressOf(account: { readonly address: Hex }): Address {
  return lower(account.address)
}
