/** Topics that steps read keep the time at which the broker appended a message: event time is judged by it. */
import kafkajs, { type Admin } from 'kafkajs'
import type { Topic } from '../definitions.ts'
import { classify, FatalError } from '../errors.ts'
import type { Names } from './client.ts'

const setting = 'message.timestamp.type'
const wanted = 'LogAppendTime'

/**
 * @param topics that are there
 * @throws FatalError that names each topic whose messages keep another time, or where this user may not see it
 */
export async function assertLogAppendTime(admin: Admin, names: Names, topics: readonly Topic[]): Promise<void> {
  const inputs = [...new Set(topics.map((topic) => names.topic(topic)))]
  if (inputs.length === 0) return
  const resources = inputs.map((name) => ({
    type: kafkajs.ConfigResourceTypes.TOPIC,
    name,
    configNames: [setting],
  }))
  const answer = await admin.describeConfigs({ includeSynonyms: false, resources }).catch((cause: unknown) => {
    if (classify(cause) === 'retryable') throw cause
    const hint = 'allow this user DescribeConfigs on the topics that it reads'
    throw new FatalError('topic', `Reading ${setting} of ${inputs.join(', ')}`, { cause, hint })
  })
  const details = answer.resources.flatMap(({ resourceName, configEntries }) => {
    const found = configEntries.find(({ configName }) => configName === setting)?.configValue
    return found === wanted ? [] : `${resourceName} has ${setting} ${found ?? 'unknown'}, expected ${wanted}`
  })
  if (details.length === 0) return
  throw new FatalError('topic', 'Looking for append times', { details, hint: 'run: npm start -- topics apply' })
}
