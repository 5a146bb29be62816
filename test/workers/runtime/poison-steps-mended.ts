/** The step of poison-steps.ts after a fix. */
import { mendedTally } from './poison-steps.ts'

export const mended = mendedTally(import.meta.url)
