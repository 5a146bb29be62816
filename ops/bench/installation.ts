/** The installation of a measured process: the real one, but for the name of the bench's own topic. */
import { Installation } from '../../workers/runtime/installation.ts'
import { createNames, type Names } from '../../workers/runtime/kafka/client.ts'
import { passedName } from './names.ts'
import { passed } from './pass-through.ts'

export class BenchInstallation extends Installation {
  override readonly names: Names = {
    ...createNames(''),
    topic: (topic) => (topic === passed ? passedName : createNames('').topic(topic)),
  }
}
