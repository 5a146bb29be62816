import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { projectFolder } from '../../../ops/local/paths.ts'

type Outcome = { readonly code: number; readonly out: string; readonly err: string }

let checkout: string
let setup: string

/** A checkout in which npm has nothing to install, with Node 24 where npm puts it. */
beforeAll(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'setup-'))
  setup = join(checkout, 'ops', 'local', 'setup.mjs')
  await mkdir(dirname(setup), { recursive: true })
  await mkdir(join(checkout, 'node_modules', '.bin'), { recursive: true })
  await symlink(process.execPath, join(checkout, 'node_modules', '.bin', 'node'))
  for (const file of ['setup.mjs', 'setup', 'pom.xml']) {
    await cp(join(projectFolder, 'ops', 'local', file), join(checkout, 'ops', 'local', file), { recursive: true })
  }
  for (const file of ['package-lock.json', join('node_modules', '.package-lock.json')]) {
    await writeFile(join(checkout, file), JSON.stringify({ packages: {} }))
  }
  await writeFile(
    join(checkout, 'ops', 'local', 'told.ts'),
    `const args: readonly string[] = process.argv.slice(2)
    process.on('SIGTERM', () => process.exit(9))
    process.stdout.write(JSON.stringify(args))
    if (args[0] === 'wait') setInterval(() => undefined, 1000)
    else process.exitCode = Number(args[0])`,
  )
})
afterAll(() => rm(checkout, { recursive: true }))

const elsewhere = { KAFKA_BROKERS: 'b', SCHEMA_REGISTRY_URL: 'r', REDIS_URL: 'c' }

const run = (env: NodeJS.ProcessEnv, ...args: string[]): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [setup, ...args], { env }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    )
  })

describe('the set-up', () => {
  it('is followed by the Node that it installed: a shell keeps to the one that it has found before', async () => {
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(
      await readFile(join(projectFolder, 'package.json'), 'utf8'),
    )
    const behind = Object.values(scripts).flatMap((line) => line.split(' && ').slice(1))
    expect(behind.length).toBeGreaterThan(3)
    expect(behind.filter((one) => one.startsWith('node '))).toEqual([])
  })

  it('says nothing when nothing is missing, and needs none of the servers that are given', async () => {
    expect(await run(elsewhere)).toEqual({ code: 0, out: '', err: '' })
  })

  it('runs a command with its arguments and ends with its exit code', async () => {
    expect(await run({ ...elsewhere, PATH: '/usr/bin:/bin' }, 'told', '3', '--json')).toMatchObject({
      code: 3,
      out: '["3","--json"]',
    })
  })

  it('passes a signal on to the command', async () => {
    const child = spawn(process.execPath, [setup, 'told', 'wait'], {
      env: elsewhere,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([9, null])
  })

  it('refuses a command that there is not', async () => {
    expect(await run(elsewhere, 'nonsense')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^setup: unknown command nonsense: .*\n$/),
    })
  })

  it('says in a line each what it cannot install and what would help', async () => {
    const { code, err } = await run({ PATH: join(checkout, 'no-programs') })
    expect(code).toBe(1)
    expect(err).toMatch(
      /Kafka and the schema registry cannot be installed: a JDK 17 or newer is needed, there is none: apt-get install/,
    )
    expect(err).toMatch(/Redis cannot be installed: install Redis 6.2 or newer .* or set REDIS_URL/)
  })
})
