import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

/** What workers/main.ts imports; without the mend ioredis declares a class that extends String. */
const script = `
  await import('./topologies/crypto-intel.ts')
  await import('./workers/cli/command-line.ts')
  const { createRequire } = await import('node:module')
  const require = createRequire(process.cwd() + '/package.json')
  const loaded = (path) => require.cache[require.resolve('ioredis/built/' + path)].exports
  const { prototype } = loaded('resp/verbatim-string.js').VerbatimString
  console.log(JSON.stringify({ redis: typeof loaded('index.js').Redis, inherits: prototype instanceof String }))
`

it('leaves no class of ioredis that inherits from String in a worker', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])
  expect(JSON.parse(stdout)).toEqual({ redis: 'function', inherits: false })
})
