/** A thread that cannot do its work at all ends its host's process; nobody starts it again and again. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { Encoder, schemaText } from '../../../workers/runtime/codec.ts'
import { classify } from '../../../workers/runtime/errors.ts'
import { FrameWriter } from '../../../workers/runtime/packing.ts'
import { packMark, packRecord } from '../../../workers/runtime/slot-task.ts'
import { Threads } from '../../../workers/runtime/threads.ts'
import { schemaIds } from '../../support/driver.ts'
import { noon, trade } from '../records.ts'
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

describe('a thread that is ended', () => {
  const { marketTrades } = topics
  const endless = moduleOf(
    'endless',
    `import { topics } from '${new URL('../../../schemas/topics.ts', import.meta.url).href}'
    const forEver = () => { for (;;); }
    export const endless = {
      kind: 'processor', name: 'bystander', module: import.meta.url, inputs: [topics.marketTrades], outputs: [],
      state: { version: 1, empty: () => ({}) },
      process: ({ price }, state, emit, at) => (price === '2' ? forEver() : at.wakeAt(at.time + 10)),
      onTime: forEver,
    }`,
  )

  it.each([
    ['a record, which may be left out', false],
    ['a mark, which may not', true],
  ])('says whether it was at %s', async (_, required) => {
    const own = new Threads(1, (error) => deaths.push(error), { recordTimeoutMs: 400 })
    try {
      const slot = `endless:${required}`
      await own.open({ op: 'open', slot, module: endless, step: 'bystander', topic: marketTrades.name, settings: undefined, schemaIds, stored: [] }) // prettier-ignore
      const frames = new FrameWriter()
      const value = (price: number): Buffer => new Encoder(schemaIds).encode(marketTrades, trade(1, noon, price))
      packRecord(frames, 7, 0, noon, Buffer.from('key'), value(1))
      const mark = { origin: 'o', time: noon + 20, block: null, finalized: null, removed: false }
      if (required) packMark(frames, 8, 0, noon + 20, mark)
      else packRecord(frames, 8, 0, noon, Buffer.from('key'), value(2))
      const schemas: [number, string][] = [[schemaIds.get(marketTrades.name) ?? 0, schemaText(marketTrades.name)]]
      const run = own.run({ op: 'run', slot, task: frames.finish(), origins: ['o'], schemas })
      await expect(run).rejects.toMatchObject({ code: 'thread-died', offset: 8, required })
    } finally {
      await own.destroy()
    }
  })
})
