/** Messages whose value is hostile: Avro that its schema does not allow, or that it allows and nobody expects. */
import type { Random } from '../../../ops/local/chain/random.ts'
import { editOf, editOfWhole, ordered } from '../avro-edits.ts'
import type { Corpus } from '../corpus.ts'
import type { Kind } from '../kind.ts'
import { fieldsOf, partsOf, placed, type MessageInput } from '../message-input.ts'
import { MessageRun } from '../message-run.ts'
import { idsBeside } from '../system/messages.ts'

const aboutWhole = 0.15

export const avroMessages: Kind<MessageInput> = {
  name: 'avro-messages',
  module: import.meta.url,
  about: 'message values: branches, counts, lengths, numbers, texts, cuts and foreign schemas, by the Avro schema',
  batch: 10_000,
  generate(random, corpus) {
    const place = placed(random, corpus)
    const log = corpus.logs[place.log]
    const value = log?.messages[place.base]?.value
    if (log === undefined || value === null || value === undefined) throw new Error('a record without a value')
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    const tokens = partsOf(log, place.base)
    const edits = Array.from({ length: howMany(random) }, () => editOf(random, random.pick(tokens), bytes))
    if (random.next() < aboutWhole) edits[0] = editOfWhole(random, bytes, idsBeside(log.topic))
    return { ...place, edits: ordered(edits) }
  },
  fields: fieldsOf,
  start: (corpus: Corpus, bounds) => Promise.resolve(new MessageRun(corpus, bounds)),
}

/** Mostly one, seldom many: what breaks alone is told from what breaks together. */
function howMany(random: Random): number {
  let count = 1
  while (count < 6 && random.next() < 0.3) count++
  return count
}
