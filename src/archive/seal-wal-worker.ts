// Reads, names, compresses and seals WAL files for `push-ahead.ts`, beside the main thread.
import { serveWorker, TransferredResponse } from '../platform/worker-server.ts'
import { FileMemory } from './file-memory.ts'
import { sealWholeFile, type SealAnswer, type SealRequest } from './seal-whole-file.ts'

const memory = new FileMemory()

serveWorker<SealRequest, SealAnswer>((request) => {
  const answer = sealWholeFile(request, memory)
  if (answer.kind === 'large') return answer
  // Whatever holds it is a Uint8Array with memory of its own: `sealWholeFile` makes it so.
  const moved = answer.objects.flatMap(({ sealed }) =>
    sealed.buffer instanceof ArrayBuffer ? [sealed.buffer] : [],
  )
  return new TransferredResponse(answer, moved)
})
