// Names, compresses and seals WAL files for `push-ahead.ts`, beside the main thread.
import { serveWorker, TransferredResponse } from '../platform/worker-server.ts'
import { sealWholeFile, type SealedFile, type SealRequest } from './seal-whole-file.ts'

serveWorker<SealRequest, SealedFile>((request) => {
  const { digest, key, sealed } = sealWholeFile(request)
  // A copy that is alone in its memory can be moved; one out of Node's pool of small buffers cannot.
  const bytes = new Uint8Array(sealed)
  return new TransferredResponse({ digest, key, sealed: bytes }, [bytes.buffer])
})
