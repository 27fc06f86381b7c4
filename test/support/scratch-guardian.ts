// The guardian of one scratch folder: a process of its own that outlives the test process, however that ends. Its standard
// input is a pipe whose other end only the test process holds, so its end is the test process's end. The folder comes by
// the environment and not as an argument: a process that names it in its arguments counts as living in it.
import { removeScratch } from './remove-scratch.ts'

const folder = process.env['HOLDFAST_TEST_SCRATCH']
if (folder === undefined) throw new Error('HOLDFAST_TEST_SCRATCH is not set')

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.stdin.resume()
await new Promise((resolve) => {
  process.stdin.once('close', resolve)
})
await removeScratch(folder)
