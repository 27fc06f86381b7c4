import { workerData } from 'node:worker_threads'
import { serveWorker } from '../platform/worker-server.ts'
import type { CopyRequest, CopyResponse, CopyWorkerSetup } from './copy-protocol.ts'
import { SliceCopier } from './slice-copier.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pool that starts this worker passes exactly this
const copier = new SliceCopier(workerData as CopyWorkerSetup)

serveWorker<CopyRequest, CopyResponse>((request) => copier.answer(request))
