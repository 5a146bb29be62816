/** `migrate`: brings the database's tables to what this version expects. */
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { loadConfig } from '../runtime/config.ts'
import { migrate } from '../runtime/migrate.ts'
import type { App } from './app.ts'

const folder = fileURLToPath(new URL('../../ops/migrations/', import.meta.url))

export function addMigrate(program: Command, app: App): void {
  program
    .command('migrate')
    .description('Apply the migrations that the database does not have yet.')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://localhost/intel npm start -- migrate')
    .action(async () => {
      const { databaseUrl: url, databaseCaFile: caFile } = loadConfig(app.env, { require: ['database'] })
      const applied = await migrate({ url, caFile }, folder)
      for (const name of applied) app.print(`applied ${name}`)
      if (applied.length === 0) app.print('nothing to apply')
    })
}
