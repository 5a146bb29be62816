/** How patterns speak of money, shares and wallets in their summaries. */
import type { Watched } from '../watched.ts'

/** `$1,234,567`, cents only below ten dollars. */
export function dollars(usd: number): string {
  const [whole = '0', cents] = usd.toFixed(Math.abs(usd) < 10 ? 2 : 0).split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',')
  return cents === undefined ? `$${grouped}` : `$${grouped}.${cents}`
}

/** `5.2 %` of a fraction. */
export const percent = (fraction: number): string => `${(fraction * 100).toFixed(1)} %`

/** The watch file's label of a wallet, otherwise the ends of its address. */
export const walletName = (watched: Watched, chainId: number, address: string): string =>
  watched.wallets[`${chainId}:${address}`]?.label ?? `${address.slice(0, 6)}…${address.slice(-4)}`
