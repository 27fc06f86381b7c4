import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { parseTargetTime } from '../../src/domain/target-time.ts'
import type { MemberDescription } from '../../src/repository/dump-head.ts'
import type { MemoryStore } from '../../src/storage/memory/memory-store.ts'
import { goldenStore, type GoldenName } from './golden-repository.ts'

// What test/golden/dump-v1 adds to the golden repositories: a dump and the catalogue entry that lists it.
// scripts/write-golden-dump.ts wrote it once, with random salts, and every later version must read it.

export const goldenDumpFolder = join(import.meta.dirname, '../golden/dump-v1')
export const goldenDumpLabel = parseBackupLabel('20260221-030000L')
/** The number of the entry that lists it. */
export const goldenDumpEntry = 4

export const goldenKnown = {
  startedAt: parseTargetTime('2026-02-21T03:00:00.000001Z'),
  stoppedAt: parseTargetTime('2026-02-21T03:00:04Z'),
  facts: { 'server-version': '18.1', 'client-version': '18.1', 'start-lsn': '1/3000028' },
}

export const goldenMembers: readonly (MemberDescription & { readonly text: string })[] = [
  {
    name: 'globals',
    kind: 'globals',
    database: undefined,
    format: 'plain',
    text: 'CREATE ROLE app;\n'.repeat(8),
  },
  { name: 'database größe', kind: 'database', database: 'größe', format: 'custom', text: 'PGDMP' },
]

/** A golden repository with the dump. */
export async function goldenDumpStore(name: GoldenName): Promise<MemoryStore> {
  const store = await goldenStore(name)
  const folder = join(goldenDumpFolder, name)
  for (const file of globSync('**', { cwd: folder, withFileTypes: true })) {
    if (!file.isFile()) continue
    const path = join(file.parentPath, file.name)
    await store.putIfAbsent(path.slice(folder.length + 1), readFileSync(path))
  }
  return store
}
