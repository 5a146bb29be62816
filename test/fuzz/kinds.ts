/** Every kind of input, one line each. */
import type { Kind } from './kind.ts'
import { avroMessages } from './kinds/avro-messages.ts'
import { headers } from './kinds/headers.ts'
import { http } from './kinds/http.ts'

export const kinds: readonly Kind[] = [avroMessages, headers, http]

/** @throws Error where there is none of that name */
export function kindOf(name: string): Kind {
  const kind = kinds.find((one) => one.name === name)
  if (kind === undefined)
    throw new Error(`there is no kind ${name}; there are ${kinds.map((one) => one.name).join(', ')}`)
  return kind
}
