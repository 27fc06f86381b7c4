import { workerData } from 'node:worker_threads'
import { serveWorker } from '../platform/worker-server.ts'
import type { UnpackRequest, UnpackResponse, UnpackSetup } from './unpack-protocol.ts'
import { Unpacker } from './unpacker.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pool that starts this worker passes exactly this
const unpacker = new Unpacker(workerData as UnpackSetup)

serveWorker<UnpackRequest, UnpackResponse>((request) => unpacker.answer(request))
