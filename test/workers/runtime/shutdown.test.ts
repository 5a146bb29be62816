import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('./shutdown-child.ts', import.meta.url))
const children: ChildProcess[] = []
afterEach(() => children.splice(0).forEach((child) => child.kill('SIGKILL')))

/** Runs the child until it ends; `act` is called once it has said that it is ready. */
async function run(scenario: string, act: (child: ChildProcess) => void) {
  const child = spawn(process.execPath, [script, scenario])
  children.push(child)
  let [stdout, stderr] = ['', '']
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
  child.stdout.on('data', (data: Buffer) => {
    if (!stdout.includes('ready') && data.toString().includes('ready')) act(child)
    stdout += data.toString()
  })
  const [code]: unknown[] = await once(child, 'close')
  return { code, said: stdout.trim().split('\n').slice(1), stderr: stderr.trim() }
}

describe('shutdown', () => {
  it('on SIGTERM aborts, releases the newest first and exits with 0', async () => {
    const { code, said, stderr } = await run('plain', (child) => child.kill('SIGTERM'))
    expect(said).toEqual(['aborted', 'sockets', 'database'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('names on one line what did not end in time and what was still to come, and exits with 1', async () => {
    const { code, stderr } = await run('stuck', (child) => child.kill('SIGTERM'))
    expect(stderr).toBe('Shutting down: consumer did not end within 300 ms, and was to be followed by database')
    expect(code).toBe(1)
  })

  it('goes on past a releaser that fails, and exits with 1', async () => {
    const { code, said, stderr } = await run('failing', (child) => child.kill('SIGTERM'))
    expect(said).toEqual(['aborted', 'sockets', 'database'])
    expect(stderr).toBe('Shutting down: producer: broker is gone')
    expect(code).toBe(1)
  })

  it('on a fatal error says so on one line, winds down and exits with 1', async () => {
    const { code, said, stderr } = await run('fatal', () => undefined)
    expect(stderr).toBe('Seeking: offset 7 is gone: run offsets reset')
    expect(said).toEqual(['aborted', 'sockets', 'database'])
    expect(code).toBe(1)
  })

  it('holds an error that nobody caught for fatal', async () => {
    const { code, stderr } = await run('uncaught', () => undefined)
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'nobody caught this' })
  })

  it('on a second Ctrl-C ends at once, however stubborn a step is', async () => {
    let pressing: NodeJS.Timeout | undefined
    const { code, said } = await run('stubborn', (child) => {
      pressing = setInterval(() => child.kill('SIGINT'), 50)
    })
    clearInterval(pressing)
    expect(said).toEqual(['aborted', 'sockets'])
    expect(code).toBe(130)
  })

  it('takes the Ctrl-C that npm repeats for one', async () => {
    const { code, said } = await run('plain', (child) => {
      child.kill('SIGINT')
      child.kill('SIGINT')
    })
    expect(said).toEqual(['aborted', 'sockets', 'database'])
    expect(code).toBe(0)
  })
})
