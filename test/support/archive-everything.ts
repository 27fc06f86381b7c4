import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestServer } from './postgres-server.ts'
import { waitUntil } from './wait.ts'

/** Ends the current segment and waits until the server has archived everything up to it. */
export async function archiveEverything(server: TestServer): Promise<void> {
  await server.query('select pg_catalog.pg_switch_wal()')
  const folder = join(server.dataDirectory, 'pg_wal', 'archive_status')
  await waitUntil('everything to be archived', async () => {
    const names = await readdir(folder)
    return !names.some((name) => name.endsWith('.ready'))
  })
}
