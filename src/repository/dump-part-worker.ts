import { workerData } from 'node:worker_threads'
import { KeyedDigest } from '../codec/keyed-digest.ts'
import { serveWorker } from '../platform/worker-server.ts'
import type { PartSealingRequest, PartSealingResponse, PartSealingSetup } from './dump-part-protocol.ts'
import { sealDumpPart } from './dump-part.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pool that starts this worker passes exactly this
const setup = workerData as PartSealingSetup
const members = new Map<number, { readonly digest: KeyedDigest; rawBytes: number }>()

serveWorker<PartSealingRequest, PartSealingResponse>((request) => {
  const member = members.get(request.member) ?? { digest: new KeyedDigest(setup.namesKey), rawBytes: 0 }
  if (request.kind === 'part') {
    const { raw } = request.part
    members.set(request.member, member)
    member.digest.update(raw)
    member.rawBytes += raw.length
    return { kind: 'part', part: sealDumpPart(request.part, setup) }
  }
  members.delete(request.member)
  return { kind: 'end', rawBytes: member.rawBytes, digest: member.digest.finish() }
})
