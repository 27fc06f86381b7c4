import { workerData } from 'node:worker_threads'
import { releaseMemory } from '../platform/release-memory.ts'
import { serveWorker } from '../platform/worker-server.ts'
import { DumpVerifier } from './dump-verifier.ts'
import { PackVerifier } from './pack-verifier.ts'
import type { VerifyRequest, VerifyResponse, VerifySetup } from './verify-protocol.ts'
import { WalVerifier } from './wal-verifier.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the lane that starts this worker passes exactly this
const setup = workerData as VerifySetup
const packs = new PackVerifier(setup)
const wal = new WalVerifier(setup)
const dumps = new DumpVerifier(setup)
const nothing: VerifyResponse = { rawBytes: 0, partCount: 0, end: undefined }

function answer(request: VerifyRequest): VerifyResponse {
  switch (request.kind) {
    case 'pack':
      return { ...nothing, rawBytes: packs.verify(request.key, request.bytes, request.needs) }
    case 'wal-open':
      return { ...nothing, partCount: wal.open(request.key, request.bytes) }
    case 'wal-part':
      wal.addPart(request.part, request.key, request.bytes)
      return nothing
    case 'wal-close':
      return { ...nothing, ...wal.close(request) }
    case 'dump-open':
      dumps.open()
      return nothing
    case 'dump-part':
      return { ...nothing, rawBytes: dumps.addPart(request) }
    case 'dump-close':
      dumps.close(request)
      return nothing
  }
}

serveWorker<VerifyRequest, VerifyResponse>((request) => {
  try {
    return answer(request)
  } catch (error) {
    wal.reset()
    throw error
  } finally {
    if ('bytes' in request) releaseMemory(request.bytes)
  }
})
