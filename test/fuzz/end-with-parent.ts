/** A thread that ends its process when the parent is gone, whatever the process is at. */
import { workerData } from 'node:worker_threads'

const lookMs = 1_000

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
}, lookMs)
