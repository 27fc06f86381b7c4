import { workerData } from 'node:worker_threads'
import { createPageKernel } from '../codec/page-kernel.ts'
import { serveWorker, TransferredResponse } from '../platform/worker-server.ts'
import { largestUnitBytes, packBufferBytes } from '../repository/pack-writer.ts'
import { resealPack } from '../repository/reseal-pack.ts'
import type { TransferRequest, TransferResponse, TransferSetup } from './transfer-protocol.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pool that starts this worker passes exactly this
const { from, to, blockHashSeed } = workerData as TransferSetup
const kernel = createPageKernel({ inputBytes: largestUnitBytes, seed: blockHashSeed })
const buffer = new Uint8Array(packBufferBytes)

serveWorker<TransferRequest, TransferResponse>(({ bytes, fromKey, toKey }) => {
  const source = { keys: from, key: fromKey }
  const { sizeBytes, indexTag, sourceTag } = resealPack(bytes, source, {
    keys: to,
    key: toKey,
    buffer,
    kernel,
  })
  const made = buffer.slice(0, sizeBytes)
  return new TransferredResponse({ bytes: made, indexTag, sourceTag }, [made.buffer])
})
