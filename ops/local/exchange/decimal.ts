/** Decimal strings of whole units: prices in ticks of 10^-decimals, quantities in lots of 10^-decimals. */

/** The venue's wire form with 8 decimals: (6183763, 2) gives "61837.63000000". */
export function fixed8(units: number, decimals: number): string {
  if (decimals === 0) return `${units}.00000000`
  const scale = 10 ** decimals
  const whole = Math.floor(units / scale)
  return `${whole}.${String(units - whole * scale).padStart(decimals, '0')}${'0'.repeat(8 - decimals)}`
}

/** The canonical form, without trailing zeros: (6183760n, 2) gives "61837.6". */
export function canonical(units: bigint, decimals: number): string {
  const digits = units.toString().padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals)
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '')
  return fraction === '' ? whole : `${whole}.${fraction}`
}

/** Whole units of a wire string with 8 decimals: "0.02000000" gives 2000000. */
export function unitsOf(text: string): number {
  const [whole = '', fraction = ''] = text.split('.')
  return Number(whole + fraction.padEnd(8, '0').slice(0, 8))
}
