/** Seeded random numbers: the same seed always gives the same market. */

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** Standard normal. */
  normal(): number
  /** Poisson count for a mean below about 500. */
  poisson(mean: number): number
  /** Uniform in [low, high). */
  between(low: number, high: number): number
  /** The items in a random order. */
  shuffled<T>(items: readonly T[]): T[]
}

/**
 * A generator of its own for every seed text, so that one market's draws never shift another's.
 * sfc32 (Doty-Humphrey, PractRand), seeded from four FNV-1a hashes.
 */
export function seededRandom(seed: string): Random {
  let [a, b, c, d] = [hash(seed, 0), hash(seed, 1), hash(seed, 2), hash(seed, 3)]
  const next = () => {
    const sum = (a + b + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 4_294_967_296
  }
  for (let round = 0; round < 12; round++) next()

  let spare: number | undefined
  // Marsaglia's polar method: two normals a round.
  const normal = () => {
    if (spare !== undefined) {
      const value = spare
      spare = undefined
      return value
    }
    for (;;) {
      const x = 2 * next() - 1
      const y = 2 * next() - 1
      const square = x * x + y * y
      if (square > 0 && square < 1) {
        const scale = Math.sqrt((-2 * Math.log(square)) / square)
        spare = y * scale
        return x * scale
      }
    }
  }
  return {
    next,
    normal,
    // Knuth's product of uniforms.
    poisson(mean) {
      const limit = Math.exp(-mean)
      let count = 0
      for (let product = next(); product > limit; product *= next()) count++
      return count
    },
    between: (low, high) => low + (high - low) * next(),
    shuffled: (items) =>
      items
        .map((item) => ({ item, order: next() }))
        .toSorted((left, right) => left.order - right.order)
        .map(({ item }) => item),
  }
}

function hash(text: string, salt: number): number {
  let value = 0x811c9dc5 ^ Math.imul(salt + 1, 0x9e3779b9)
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  return value | 0
}
