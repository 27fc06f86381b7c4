import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { keySlotKind } from '../repository/key-slot.ts'
import { openNameList } from '../repository/name-list.ts'
import { parseNameListKey } from '../repository/name-list-key.ts'
import {
  clusterRecordPrefix,
  drillPrefix,
  dumpDrillFolder,
  keySlotPrefix,
  nameListPrefix,
} from '../repository/object-keys.ts'
import { RecordReader } from '../repository/record.ts'
import { openObject } from '../repository/sealed-store.ts'
import { readOrProblem, type Finding } from './object-problem.ts'

export interface MetadataResult {
  readonly findings: readonly Finding[]
  readonly objects: number
}

/**
 * Checks what is above the backups: every key slot as far as its form tells (the one in use has just opened the
 * repository, and with it the header), every revision of the cluster's record, lists of names and reports of drills.
 */
export async function checkMetadata(place: ArchivePlace, context: RunContext): Promise<MetadataResult> {
  const { repository, cluster } = place
  const slots = await checkAll(
    place,
    { prefix: keySlotPrefix, kind: 'key-slot', check: keySlotKind },
    context,
  )
  const checkRecord = (bytes: Uint8Array, key: string): void => {
    const payload = openObject(repository, { kind: 'cluster', key }, bytes)
    RecordReader.decode(payload, `cluster record "${key}"`)
  }
  const prefix = `${clusterRecordPrefix}${cluster.id}/`
  const records = await checkAll(place, { prefix, kind: 'cluster-record', check: checkRecord }, context)
  const checkNames = (bytes: Uint8Array, key: string): void => {
    if (parseNameListKey(cluster.id, key) === undefined) return
    for (const _ of openNameList(bytes, repository, key)) continue
  }
  const names = await checkAll(
    place,
    { prefix: nameListPrefix(cluster.id), kind: 'name-list', check: checkNames },
    context,
  )
  const checkDrill = (bytes: Uint8Array, key: string): void => {
    const payload = openObject(repository, { kind: 'drill-report', key }, bytes)
    RecordReader.decode(payload, `drill report "${key}"`)
  }
  const checkDrills = (folder: string): Promise<MetadataResult> =>
    checkAll(place, { prefix: folder, kind: 'drill-report', check: checkDrill }, context)
  const drills = await checkDrills(drillPrefix(cluster.id))
  const dumpDrills = await checkDrills(dumpDrillFolder(cluster.id))
  const all = [slots, records, names, drills, dumpDrills]
  return {
    findings: all.flatMap(({ findings }) => findings),
    objects: all.reduce((sum, { objects }) => sum + objects, 0),
  }
}

interface Check {
  readonly prefix: string
  readonly kind: Finding['kind']
  readonly check: (bytes: Uint8Array, key: string) => unknown
}

async function checkAll(
  { repository }: ArchivePlace,
  { prefix, kind, check }: Check,
  context: RunContext,
): Promise<MetadataResult> {
  const findings: Finding[] = []
  let objects = 0
  for await (const { key } of repository.store.list(prefix, context)) {
    objects += 1
    const read = await readOrProblem(async () => {
      const bytes = await repository.store.get(key, undefined, context)
      if (bytes !== undefined) check(bytes, key)
    })
    if ('problem' in read) findings.push({ key, kind, problem: read.problem, group: undefined })
  }
  return { findings, objects }
}
