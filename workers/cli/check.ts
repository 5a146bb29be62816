/** `check`: every fault of a topology at once. */
import type { Command } from 'commander'
import type { Topology } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import { checkTopology, inputsOf, outputsOf } from '../runtime/topology.ts'
import { topologyCalled, type App } from './app.ts'

export function addCheck(program: Command, app: App): void {
  program
    .command('check')
    .description('Check how the steps of a topology fit together; all faults are reported at once.')
    .argument('[topology]', 'all topologies where it is not given')
    .addHelpText('after', '\nExample:\n  npm start -- check crypto-intel')
    .action(async (name?: string) => {
      const topologies = name === undefined ? app.topologies : [topologyCalled(app, name)]
      for (const topology of topologies) {
        await assertSound(topology)
        const topics = new Set(topology.steps.flatMap((step) => [...inputsOf(step), ...outputsOf(step)]))
        app.print(`${topology.name}: ${topology.steps.length} steps over ${topics.size} topics, no faults`)
      }
    })
}

/** @throws FatalError that lists every fault of the topology */
export async function assertSound(topology: Topology): Promise<void> {
  const details = await checkTopology(topology)
  if (details.length > 0) throw new FatalError('topology', `Checking the topology ${topology.name}`, { details })
}
