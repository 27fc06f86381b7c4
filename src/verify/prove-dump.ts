import type { RunContext } from '../domain/run-context.ts'
import type { DumpMember } from '../repository/dump-head.ts'
import { readDumpHead } from '../repository/dump-reader.ts'
import { dumpHeadKey, dumpPartKey } from '../repository/object-keys.ts'
import { fetchObject } from './fetch-object.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import type { GroupResult, ProofTools } from './prove-packs.ts'
import type { DumpGroup } from './verify-groups.ts'

/** Proves a listed dump: its head, every part, and each member whose parts are whole by its digest. */
export async function proveDump(
  { id: group, dump }: DumpGroup,
  tools: ProofTools,
  context: RunContext,
): Promise<GroupResult> {
  const { place } = tools
  const headKey = dumpHeadKey(place.cluster.id, dump.label)
  const read = await readOrProblem(() => readDumpHead(place, dump, context))
  if ('problem' in read)
    return { findings: [{ key: headKey, kind: 'dump', problem: read.problem, group }], rawBytes: 0 }
  const findings: Finding[] = []
  let rawBytes = 0
  for (const member of read.content.members) {
    const proof = await proveMember({ member, dump, headKey }, tools, context)
    rawBytes += proof.rawBytes
    for (const found of proof.problems) findings.push({ ...found, kind: 'dump', group })
  }
  return { findings, rawBytes }
}

interface ProvenMember {
  readonly problems: readonly Pick<Finding, 'key' | 'problem'>[]
  readonly rawBytes: number
}

interface Proving extends Pick<DumpGroup, 'dump'> {
  readonly member: DumpMember
  readonly headKey: string
}

async function proveMember(
  { member, dump: { label }, headKey }: Proving,
  { place, lane }: ProofTools,
  context: RunContext,
): Promise<ProvenMember> {
  const problems: { key: string; problem: string }[] = []
  let rawBytes = 0
  await lane.run({ kind: 'dump-open' })
  for (const part of member.parts) {
    context.signal.throwIfAborted()
    const key = dumpPartKey(place.cluster.id, { label, number: part.number })
    const object = await fetchObject(place.repository, key, context)
    if (object.kind !== 'found') {
      const absent = `reading dump ${label}: "${key}" is missing`
      problems.push({ key, problem: object.kind === 'absent' ? absent : object.problem })
      continue
    }
    const { bytes } = object
    const proof = await readOrProblem(() => lane.run({ kind: 'dump-part', key, part, bytes }))
    if ('problem' in proof) problems.push({ key, problem: proof.problem })
    else rawBytes += proof.content.rawBytes
  }
  if (problems.length > 0) return { problems, rawBytes }
  const { name, digest } = member
  const closed = await readOrProblem(() => lane.run({ kind: 'dump-close', key: headKey, name, digest }))
  return { problems: 'problem' in closed ? [{ key: headKey, problem: closed.problem }] : [], rawBytes }
}
