/** One stack of real servers for a whole run, started when the first test file asks for it, with data of its own. */
import { createServer } from 'node:http'
import type { TestProject } from 'vitest/node'
import { startStack, type Stack } from '../../ops/local/stack.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Answers GET with the stack's environment as JSON, once it is up. */
    stackUrl: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  let starting: Promise<Stack> | undefined
  const server = createServer((_request, response) => {
    starting ??= startStack({ name: 'test', temporary: true })
    starting.then(
      (stack) => response.end(JSON.stringify(stack.env)),
      (error: unknown) => response.writeHead(500).end(error instanceof Error ? error.message : String(error)),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server of the stack has no port')
  project.provide('stackUrl', `http://127.0.0.1:${address.port}`)
  return async () => {
    server.close()
    server.closeAllConnections()
    await starting?.then(
      (stack) => stack.stop(),
      () => undefined,
    )
  }
}
