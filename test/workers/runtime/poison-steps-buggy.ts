/** A release of the step "tally" with a bug: it throws for every record. */
import { buggyTally } from './poison-steps.ts'

export const buggy = buggyTally(import.meta.url)
