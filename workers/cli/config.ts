/** `config`: the effective configuration, or the table of all variables. */
import type { Command } from 'commander'
import { describeConfig, loadConfig, redacted } from '../runtime/config.ts'
import { printTable, toJson, type App } from './app.ts'

interface Options {
  readonly table?: true
  readonly json?: true
}

export function addConfig(program: Command, app: App): void {
  program
    .command('config')
    .description('Print the effective values of all variables, secrets redacted.')
    .option('--table', 'print what each variable is for, as a Markdown table')
    .option('--json', 'print the values as JSON')
    .addHelpText('after', '\nExample:\n  KAFKA_BROKERS=localhost:9092 npm start -- config')
    .action(({ table, json }: Options) => {
      if (table) return app.print(variableTable())
      const values = redacted(loadConfig(app.env, { require: [] }))
      if (json) app.print(toJson(values, 2))
      else printTable(app, ['variable', 'value'], Object.entries(values))
    })
}

/** The Markdown table of all variables. */
export function variableTable(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|')
  const rows = describeConfig().map(({ variable, description, default: fallback, secret }) => {
    const name = `\`${variable}\`${secret ? ` or \`${variable}_FILE\`` : ''}`
    const value = fallback === '' || fallback === 'required' ? fallback : `\`${fallback}\``
    return `| ${name} | ${cell(description)} | ${cell(value)} |`
  })
  return ['| Variable | What it is | Default |', '| --- | --- | --- |', ...rows].join('\n')
}
