import { labelTimeMs, parseBackupLabel } from '../../src/domain/backup-label.ts'
import type { RunContext } from '../../src/domain/run-context.ts'
import { instantFromMs } from '../../src/domain/target-time.ts'
import type { DumpEntry } from '../../src/repository/dump-entry.ts'
import type { DumpPlace } from '../../src/repository/dump-reader.ts'
import type { DumpHead } from '../../src/repository/dump-head.ts'
import { openDumpWriter } from '../../src/repository/dump-writer.ts'
import type { Lease } from '../../src/repository/lease.ts'
import { acquireDumpLease, publishDump } from '../../src/repository/take-dump.ts'

interface StoredDump {
  readonly label: string
  /** Default: true. */
  readonly isListed?: boolean
  /** Of further members, by name. Default: none. */
  readonly contents?: Readonly<Record<string, Uint8Array>>
  /** One that is held already. Default: one of its own. */
  readonly lease?: Lease
  /** Default: some that say nothing of what is in it. */
  readonly facts?: DumpHead['facts']
}

/** Stores a dump of two members with a part each, and those that are wanted besides, and lists it. */
export async function storeDump(
  place: DumpPlace,
  {
    label: text,
    isListed = true,
    contents = {},
    lease: held,
    facts = { 'server-version': '18.1' },
  }: StoredDump,
  context: RunContext,
): Promise<DumpEntry> {
  await using stack = new AsyncDisposableStack()
  const lease = held ?? stack.use(await acquireDumpLease(place, context))
  const label = parseBackupLabel(text)
  const writer = openDumpWriter(place, { label, lease }, context)
  const globals = { name: 'globals', kind: 'globals', database: undefined, format: 'plain' }
  await writer.writeMember(globals, bytesOf('CREATE ROLE app;\n'))
  const app = { name: 'app', kind: 'database', database: 'app', format: 'custom' }
  await writer.writeMember(app, bytesOf('PGDMP and so on'))
  for (const [name, content] of Object.entries(contents))
    await writer.writeMember({ ...app, name }, bytesOf(content))
  const startedAt = instantFromMs(labelTimeMs(label))
  const dump = await writer.finish({ startedAt, stoppedAt: instantFromMs(labelTimeMs(label) + 1000), facts })
  if (isListed) await publishDump({ place, lease, dump }, context)
  return dump
}

async function* bytesOf(text: string | Uint8Array): AsyncGenerator<Uint8Array> {
  yield typeof text === 'string' ? Buffer.from(text) : text
}
