/** `topics apply|list`: creates topics and brings their settings to what schemas/topics.ts says. */
import type { Command } from 'commander'
import kafkajs, { type Admin } from 'kafkajs'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { Topic } from '../runtime/definitions.ts'
import { FatalError, classify } from '../runtime/errors.ts'
import { makeTopics } from '../runtime/kafka/make-topics.ts'
import { untilAnswered } from '../runtime/kafka/until-answered.ts'
import { printTable, toJson, type App } from './app.ts'
import { withServers } from './servers.ts'
import { migrationHint, partitionFaults, planTopics, type TopicPlan } from './topics-plan.ts'

const all: readonly Topic[] = Object.values(knownTopics)

interface ApplyOptions {
  readonly dryRun?: true
}

interface ListOptions {
  readonly json?: true
}

export function addTopics(program: Command, app: App): void {
  const topics = program
    .command('topics')
    .description('Create topics and show them.')
    .addHelpText('after', '\nExample:\n  npm start -- topics apply')
  topics
    .command('apply')
    .description('Create what is missing and change settings that differ; partition counts are never changed.')
    .option('--dry-run', 'print what would be done')
    .addHelpText('after', '\nExample:\n  npm start -- topics apply --dry-run')
    .action((options: ApplyOptions) => apply(app, options))
  topics
    .command('list')
    .description(
      'Show every topic with its partitions, messages and retention, and the settings that are not as they should be.',
    )
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  npm start -- topics list')
    .action((options: ListOptions) => list(app, options))
}

function apply(app: App, { dryRun }: ApplyOptions): Promise<void> {
  return withServers(app, ['kafka'], async (servers) => {
    const { replicationFactor } = servers.context.config
    const admin = await servers.admin()
    const plans = await planTopics(admin, servers.names, all, replicationFactor)
    const details = partitionFaults(plans)
    if (details.length > 0) throw new FatalError('topic', 'Applying the topics', { details, hint: migrationHint })
    const missing = plans.filter(({ partitions }) => partitions === undefined)
    const changed = plans.filter(({ changes }) => changes.length > 0)
    if (!dryRun) {
      await createTopics(admin, missing, replicationFactor)
      await alter(admin, changed)
    }
    for (const { name, topic } of missing) app.print(`create ${name}, partitions: ${topic.partitions}`)
    for (const { name, changes } of changed) {
      for (const { name: setting, from, to } of changes) app.print(`change ${name}, ${setting}: ${from} → ${to}`)
    }
    const rest = plans.length - missing.length - changed.length
    const counts = `${missing.length} created, ${changed.length} changed, ${rest} as they should be`
    app.print(`${plans.length} topics: ${counts}${dryRun ? ', were this no dry run' : ''}`)
  })
}

/**
 * Resolves when every partition of the topics has a leader.
 * @throws FatalError where the brokers refuse, RetryableError where they do not answer
 */
export async function createTopics(
  admin: Admin,
  missing: readonly TopicPlan[],
  replicationFactor: number,
): Promise<void> {
  if (missing.length === 0) return
  const topics = missing.map(({ name, topic, settings }) => ({
    topic: name,
    numPartitions: topic.partitions,
    replicationFactor,
    configEntries: [...settings],
  }))
  try {
    await makeTopics(admin, topics)
  } catch (cause) {
    if (classify(cause) === 'retryable') throw cause
    const hint = `are there brokers for REPLICATION_FACTOR ${replicationFactor}, and may this user create topics?`
    throw new FatalError('topic', `Creating ${missing.length} topics`, { cause, hint })
  }
}

async function alter(admin: Admin, changed: readonly TopicPlan[]): Promise<void> {
  if (changed.length === 0) return
  const resources = changed.map(({ name, settings }) => ({
    type: kafkajs.ConfigResourceTypes.TOPIC,
    name,
    configEntries: [...settings],
  }))
  await untilAnswered('Changing settings of topics', () => admin.alterConfigs({ validateOnly: false, resources }))
}

function list(app: App, { json }: ListOptions): Promise<void> {
  return withServers(app, ['kafka'], async (servers) => {
    const admin = await servers.admin()
    const plans = await planTopics(admin, servers.names, all, servers.context.config.replicationFactor)
    const found = []
    for (const { topic, name, partitions, changes } of plans) {
      const ends = partitions === undefined ? [] : await servers.ends.all(name)
      const messages = ends.reduce((sum, { low, high }) => sum + high - low, 0)
      found.push({ topic: name, partitions: partitions ?? null, messages, cleanup: topic.cleanup, changes })
    }
    if (json) return app.print(toJson(found, 2))
    const rows = found.map(({ topic, partitions, messages, cleanup, changes }) => [
      topic,
      partitions ?? '-',
      partitions === null ? '-' : messages,
      cleanup.policy === 'compact' ? 'compacted' : `${cleanup.retentionMs / 86_400_000} days`,
      partitions === null
        ? 'missing'
        : changes.map((change) => `${change.name}: ${change.from}, should be ${change.to}`).join('; '),
    ])
    printTable(app, ['topic', 'partitions', 'messages', 'kept', ''], rows)
  })
}
