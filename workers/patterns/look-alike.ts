/** Compares addresses as a hurried reader does: by their first and last digits. */

const digits = (address: string): string => address.slice(2)

/** How many leading and trailing hex digits two addresses share. */
export function sharedEnds(a: string, b: string): { prefix: number; suffix: number } {
  const [x, y] = [digits(a), digits(b)]
  let prefix = 0
  while (prefix < x.length && x[prefix] === y[prefix]) prefix += 1
  let suffix = 0
  while (suffix < x.length && x.at(-1 - suffix) === y.at(-1 - suffix)) suffix += 1
  return { prefix, suffix }
}

/**
 * The address among `known` that `candidate` looks like, if it is none of them itself.
 * @returns with it the chance that an address made at random would look like none of them
 */
export function imitatedBy(
  candidate: string,
  known: readonly string[],
  least: { readonly prefix: number; readonly suffix: number },
): { address: string; confidence: number } | undefined {
  if (known.includes(candidate)) return undefined
  for (const address of known) {
    const { prefix, suffix } = sharedEnds(candidate, address)
    if (prefix < least.prefix || suffix < least.suffix) continue
    return { address, confidence: Math.max(0, 1 - known.length / 16 ** (prefix + suffix)) }
  }
  return undefined
}
