/** Random choices that a seed decides. */
import { seededRandom, type Random as Numbers } from '../exchange/random.ts'

export interface Random extends Pick<Numbers, 'next' | 'between' | 'shuffled'> {
  /** A whole number, both ends included. */
  int(min: number, max: number): number
  /** As often between 1 and 10 as between 10 and 100. */
  logBetween(min: number, max: number): number
  pick<T>(choices: readonly T[]): T
  hex(digits: number): string
}

/** A generator of its own for every seed text. */
export function seeded(seed: string): Random {
  const numbers = seededRandom(`chain ${seed}`)
  const int = (min: number, max: number): number => Math.floor(numbers.between(min, max + 1))
  return {
    ...numbers,
    int,
    logBetween: (min, max) => Math.exp(numbers.between(Math.log(min), Math.log(max))),
    pick(choices) {
      const choice = choices[int(0, choices.length - 1)]
      if (choice === undefined) throw new RangeError('nothing to pick from')
      return choice
    },
    hex: (digits) => Array.from({ length: digits }, () => int(0, 15).toString(16)).join(''),
  }
}
