/**
 * Holds the README to the code: its diagram and its table of variables are the generated ones (`npx vitest run
 * test/readme.test.ts --update` writes them), and the commands, scripts and files that it names are there.
 */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { cryptoIntel } from '../topologies/crypto-intel.ts'
import { commandLine } from '../workers/cli/command-line.ts'
import { variableTable } from '../workers/cli/config.ts'
import { graphTopology } from '../workers/runtime/topology.ts'

const project = new URL('../', import.meta.url)
const readme = readFileSync(new URL('README.md', project), 'utf8')

/** The text with what stands between a section's markers replaced. */
function withSection(text: string, name: string, content: string): string {
  const section = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- /${name} -->)`)
  if (!section.test(text)) throw new Error(`README.md has no section ${name}`)
  return text.replace(section, (_all, open: string, close: string) => `${open}\n${content}\n\n${close}`)
}

/** What the command line prints for the arguments. */
async function printed(...args: string[]): Promise<string> {
  const lines: string[] = []
  const app = {
    topologies: [cryptoIntel],
    env: {},
    print: (line: string) => void lines.push(line),
    untilStopped: () => new AbortController().signal,
  }
  await commandLine(app, args)
  return lines.join('\n')
}

/** The commands that a help text lists. */
const commandsIn = (help: string): string[] =>
  [...(/\nCommands:\n([^]*?)\n(?:\n|$)/.exec(help)?.[1] ?? '').matchAll(/^ {2}([a-z]+)/gm)]
    .map(([, name = '']) => name)
    .filter((name) => name !== 'help')

describe('README', () => {
  it('holds the diagram of the topology and the table of variables', async () => {
    const diagram = `\`\`\`mermaid\n${graphTopology(cryptoIntel)}\n\`\`\``
    const variables = `<!-- prettier-ignore -->\n${variableTable()}`
    const current = withSection(withSection(readme, 'diagram', diagram), 'variables', variables)
    await expect(current).toMatchFileSnapshot('../README.md')
  })

  it('names every command of the command line', async () => {
    for (const command of commandsIn(await printed('--help'))) {
      expect(readme).toContain(`\`npm start -- ${command}`)
      for (const inner of commandsIn(await printed(command, '--help'))) {
        expect(readme).toMatch(new RegExp(`\\b${command} ${inner}\\b`))
      }
    }
  })

  it('names npm scripts that there are', () => {
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(
      readFileSync(new URL('package.json', project), 'utf8'),
    )
    const named = [...readme.matchAll(/npm run ([\w-]+)/g)].map(([, name = '']) => name)
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })

  it('links to files and headings that there are', () => {
    const targets = [...readme.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(
      ([, text = '']) => `#${text.toLowerCase().replaceAll(' ', '-')}`,
    )
    const there = (target: string): boolean =>
      target.startsWith('#') ? headings.includes(target) : existsSync(new URL(target, project))
    expect(targets.filter((target) => !target.startsWith('http') && !there(target))).toEqual([])
  })
})
