/** The installation of a measured process: the real one, but for the names of the bench's own topics. */
import { Installation, type Reading } from '../../workers/runtime/installation.ts'
import { createNames, type Names } from '../../workers/runtime/kafka/client.ts'
import { passedName } from './names.ts'
import { passed } from './pass-through.ts'

export class BenchInstallation extends Installation {
  override readonly names: Names = {
    ...createNames(''),
    topic: (topic) => (topic === passed ? passedName : createNames('').topic(topic)),
  }
}

/** @param topic what steps read, where it is not the topic of their input's name */
export const readingFrom = (topic: string | undefined): Reading =>
  topic === undefined ? {} : { inputNames: { ...createNames(''), topic: () => topic } }
