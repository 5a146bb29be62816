/** A process that holds a stack until it is killed: `node hold-stack.ts ROOT server,server`. Prints the servers' pids when they are up. */
import { startStack, type ServerName } from '../../ops/local/stack.ts'

const names: readonly ServerName[] = ['kafka', 'registry', 'postgres', 'redis']
const [root = '', wanted = ''] = process.argv.slice(2)
const stack = await startStack({ root, only: names.filter((name) => wanted.split(',').includes(name)), reuse: false })
process.stdout.write(`${JSON.stringify(Object.values(stack.servers).map(({ pid }) => pid))}\n`)
