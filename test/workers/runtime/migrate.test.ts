/** Migrations on a real server. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectDatabase, type Database } from '../../../workers/runtime/database.ts'
import { migrate } from '../../../workers/runtime/migrate.ts'
import { freshDatabase, type FreshDatabase } from '../../support/servers.ts'

let fresh: FreshDatabase
let database: Database
let folder: string

beforeAll(async () => {
  fresh = await freshDatabase()
  database = await connectDatabase({ url: fresh.url })
  folder = await mkdtemp(join(tmpdir(), 'migrations-'))
  await writeFile(join(folder, '001_first.sql'), 'CREATE TABLE first (id int); CREATE TABLE second (id int);')
  await writeFile(join(folder, 'README.md'), 'no migration')
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
  await rm(folder, { recursive: true })
})

test('replicas that start at once apply each file once', async () => {
  const applied = await Promise.all([1, 2, 3, 4].map(() => migrate({ url: fresh.url }, folder)))
  expect(applied.flat()).toEqual(['001_first.sql'])
})

test('a file that fails leaves nothing behind and can be mended', async () => {
  const path = join(folder, '002_broken.sql')
  await writeFile(path, 'CREATE TABLE third (id int); CREATE TABLE first (id int);')
  await expect(migrate({ url: fresh.url }, folder)).rejects.toMatchObject({
    class: 'fatal',
    message: expect.stringMatching(/002_broken\.sql/),
  })
  await writeFile(path, 'CREATE TABLE third (id int);')
  expect(await migrate({ url: fresh.url }, folder)).toEqual(['002_broken.sql'])
})

test('a file that was changed after it was applied is fatal and named', async () => {
  const path = join(folder, '001_first.sql')
  await writeFile(path, 'CREATE TABLE first (id bigint);')
  await expect(migrate({ url: fresh.url }, folder)).rejects.toMatchObject({
    class: 'fatal',
    details: ['001_first.sql'],
  })
})

test('files that a newer version has applied are left alone', async () => {
  await rm(join(folder, '001_first.sql'))
  expect(await migrate({ url: fresh.url }, folder)).toEqual([])
})
