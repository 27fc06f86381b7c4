import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const patienceMs = 60_000

/** Waits until a server that archives has nothing left to archive: a backup need not wait for the archiver's own process. */
export async function archiverIdle({ dataDirectory }: { readonly dataDirectory: string }): Promise<void> {
  const folder = join(dataDirectory, 'pg_wal', 'archive_status')
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; await sleep(50)) {
    const names = await readdir(folder)
    if (!names.some((name) => name.endsWith('.ready'))) return
  }
  throw new Error(`the server in "${dataDirectory}" has WAL to archive after ${patienceMs} ms`)
}
