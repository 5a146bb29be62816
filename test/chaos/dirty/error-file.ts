/** The file by which workers are told where to throw; they look at it every 200 ms. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestErrors } from '../../../workers/runtime/test-errors.ts'

/** Longer than workers take to look at the file again. */
const seenMs = 500

export class ErrorFile {
  readonly #path: string
  #content: TestErrors = {}

  /** @param folder in which the file is kept */
  constructor(folder: string) {
    this.#path = join(folder, 'errors.json')
    this.write({})
  }

  /** For the workers; without it they throw nothing. */
  get env(): Record<string, string> {
    return { NODE_ENV: 'test', CRYPTO_INTEL_TEST_ERRORS: this.#path }
  }

  get content(): TestErrors {
    return this.#content
  }

  write(content: TestErrors): void {
    this.#content = content
    writeFileSync(`${this.#path}.new`, JSON.stringify(content))
    renameSync(`${this.#path}.new`, this.#path)
  }

  /** @returns how many errors were thrown so far, by place */
  thrown(): ReadonlyMap<string, number> {
    const path = `${this.#path}.thrown`
    const places = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
    return new Map([...Map.groupBy(places, (place) => place)].map(([place, { length }]) => [place, length]))
  }

  /** Resolves when every worker has seen what was written. */
  async seen(): Promise<void> {
    await sleep(seenMs)
  }
}
