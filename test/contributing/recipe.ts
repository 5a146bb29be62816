/** Reads the README's recipe for a new step, and follows it in a copy of the project. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = fileURLToPath(new URL('../../', import.meta.url))
/** What a checkout does not hold, or a copy does not need. */
const leftOut = ['.git', '.local', 'node_modules', 'coverage']

/** One thing that the recipe asks for: a file, a change of a file, or a command. */
export type Action =
  | { readonly kind: 'file'; readonly path: string; readonly text: string }
  | { readonly kind: 'change'; readonly path: string; readonly hunks: readonly Hunk[] }
  | { readonly kind: 'command'; readonly line: string }

interface Hunk {
  readonly before: readonly string[]
  readonly after: readonly string[]
}

/**
 * The actions of a section, in order. The path of a block is the first code that the line before it names.
 * @throws Error where a block has no path
 */
export function readActions(readme: string, heading: string): Action[] {
  const section = readme.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const blocks = [...section.matchAll(/([^\n]*)\n\n```(\w+)\n([^]*?\n)```\n/g)]
  return blocks.flatMap(([, lead = '', language = '', text = '']): Action[] => {
    if (language === 'sh') return commandsOf(text)
    const path = /`([^`]+)`/.exec(lead)?.[1]
    if (path === undefined) throw new Error(`README.md: no path before the block that begins ${text.slice(0, 60)}`)
    return [language === 'diff' ? { kind: 'change', path, hunks: hunksOf(text) } : { kind: 'file', path, text }]
  })
}

const commandsOf = (text: string): Action[] =>
  text.split('\n').flatMap((line) => (line ? { kind: 'command', line } : []))

function hunksOf(diff: string): Hunk[] {
  return diff.split(/^@@\n/m).map((part) => {
    const lines = part.split('\n').filter((line) => line !== '')
    const of = (signs: string): string[] =>
      lines.filter(([sign = '']) => signs.includes(sign)).map((line) => line.slice(1))
    return { before: of(' -'), after: of(' +') }
  })
}

/** @returns the file's text after the change. @throws Error where the lines that it names do not stand there once */
function changed(path: string, text: string, hunks: readonly Hunk[]): string {
  return hunks.reduce((current, { before, after }) => {
    const parts = `\n${current}`.split(`\n${before.join('\n')}\n`)
    if (parts.length !== 2)
      throw new Error(`README.md: ${parts.length - 1} places in ${path} read ${before.join(' ⏎ ')}`)
    return parts.join(`\n${after.join('\n')}\n`).slice(1)
  }, text)
}

export interface ProjectCopy {
  readonly folder: string
  /** Runs a shell command in the copy. @returns what it printed @throws Error with that, where it fails */
  run(line: string, env?: Readonly<Record<string, string>>): Promise<string>
  follow(action: Action): Promise<void>
  remove(): void
}

/** Copies the project; its packages are shared. */
export function copyProject(): ProjectCopy {
  const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-recipe-'))
  cpSync(project, folder, { recursive: true, filter: (path) => !leftOut.includes(relative(project, path)) })
  symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
  const copy: ProjectCopy = {
    folder,
    async run(line, env = {}) {
      const child = spawn('sh', ['-c', line], { cwd: folder, env: { ...ownEnvironment(), ...env } })
      let said = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)))
      const [code] = await once(child, 'close')
      if (code !== 0) throw new Error(`${line}\n${said}`)
      return said
    },
    async follow(action) {
      if (action.kind === 'command') return void (await copy.run(action.line))
      const file = join(folder, action.path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(
        file,
        action.kind === 'file' ? action.text : changed(action.path, readFileSync(file, 'utf8'), action.hunks),
      )
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
  return copy
}

/** Without what the test runner tells its own workers; `node` is the one that runs this. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(VITEST|TEST$|NODE_ENV|NODE_OPTIONS|CI$)/.test(name))
  return { ...Object.fromEntries(kept), PATH: `${dirname(process.execPath)}:${process.env['PATH']}` }
}
