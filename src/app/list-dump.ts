import type { DumpDetailsDocument, DumpListing } from '../api/dump-document.ts'
import { formatInstant } from '../domain/target-time.ts'
import type { DumpEntry, ListedDump } from '../repository/dump-entry.ts'
import { storedBytesOf } from '../repository/dump-head.ts'
import type { DescribedDump } from './describe-dump.ts'
import { listDumpDrill } from './list-drill.ts'

/** A listed dump as programs are told of it. One that was just taken is not pinned. */
export function listDump(dump: DumpEntry & Partial<Pick<ListedDump, 'isPinned'>>): DumpListing {
  return {
    label: dump.label,
    startedAt: formatInstant(dump.startedAt),
    stoppedAt: formatInstant(dump.stoppedAt),
    databases: dump.databases,
    databaseCount: dump.databaseCount,
    formats: dump.formats,
    rawBytes: dump.rawBytes,
    storedBytes: dump.storedBytes,
    isPinned: dump.isPinned ?? false,
  }
}

interface Details extends Omit<DescribedDump, 'head' | 'dump'> {
  readonly dump: Parameters<typeof listDump>[0]
  readonly head: Pick<DescribedDump['head'], 'members' | 'facts'>
}

export function listDumpDetails({ dump, head, drill, ...place }: Details): DumpDetailsDocument {
  return {
    version: 1,
    ...place,
    dump: listDump(dump),
    members: head.members.map((member) => ({
      name: member.name,
      kind: member.kind,
      database: member.database ?? null,
      format: member.format,
      rawBytes: member.rawBytes,
      storedBytes: storedBytesOf(member),
    })),
    facts: head.facts,
    drill: drill === undefined ? null : listDumpDrill(drill),
  }
}
