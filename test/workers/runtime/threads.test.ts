/** A thread that cannot do its work at all ends its host's process; nobody starts it again and again. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { classify } from '../../../workers/runtime/errors.ts'
import { Threads } from '../../../workers/runtime/threads.ts'
import { schemaIds } from '../../support/driver.ts'
import { bystander } from './poison-steps.ts'

const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-'))
const deaths: Error[] = []
const threads = new Threads(1, (error) => deaths.push(error))
afterAll(async () => {
  await threads.destroy()
  rmSync(folder, { recursive: true })
})

async function open(slot: string, module: string): Promise<unknown> {
  const topic = topics.marketTrades.name
  const request = { op: 'open', slot, module, step: 'bystander', topic, settings: undefined, schemaIds, stored: [] } as const // prettier-ignore
  return threads.open(request).then(
    () => 'opened',
    (error: unknown) => error,
  )
}

function moduleOf(name: string, text: string): string {
  const path = join(folder, `${name}.mjs`)
  writeFileSync(path, text)
  return pathToFileURL(path).href
}

describe('a slot that cannot be opened', () => {
  it('is fatal where its file does not load, and harms no other slot', async () => {
    expect(await open('well', bystander.module)).toBe('opened')
    const error = await open('unreadable', moduleOf('unreadable', 'export const = 1'))
    expect(error).toBeInstanceOf(SyntaxError)
    expect(classify(error)).toBe('fatal')
    expect(await threads.changes('well')).toEqual([])
  })

  it('is fatal where its file kills the thread', async () => {
    const error = await open('deadly', moduleOf('deadly', 'process.exit(3)'))
    expect(error).toMatchObject({ class: 'fatal', message: expect.stringContaining('not of a record') })
    expect(deaths).toEqual([])
  })
})
