/** `graph`: a topology as a Mermaid flowchart. */
import type { Command } from 'commander'
import { graphTopology } from '../runtime/topology.ts'
import { topologyCalled, type App } from './app.ts'

export function addGraph(program: Command, app: App): void {
  program
    .command('graph')
    .description('Print a topology as a Mermaid flowchart.')
    .argument('[topology]', 'the first topology where it is not given')
    .addHelpText('after', '\nExample:\n  npm start -- graph crypto-intel > topology.mmd')
    .action((name?: string) => {
      const topology = name === undefined ? app.topologies[0] : topologyCalled(app, name)
      if (topology !== undefined) app.print(graphTopology(topology))
    })
}
