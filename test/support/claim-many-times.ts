// A program: lets eight restores at a time claim a directory that a dead one has left, with file system calls that take
// their time, and prints how many of them have won in each round.
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import files from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseBackupLabel } from '../../src/domain/backup-label.ts'
import { readProcessIdentity } from '../../src/platform/process-identity.ts'
import { claimDirectory, markerFile } from '../../src/restore/restore-marker.ts'

const rounds = 50
const longestDelayMs = 6

delayAll('link', 'rename', 'readFile', 'rm')
const marker = { systemIdentifier: '7', backup: parseBackupLabel('20260220-153000F'), dataDirectory: '/data' }
const holder = { ...readProcessIdentity(), startTicks: '1' }
for (let round = 0; round < rounds; round += 1) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hf-claims-')))
  writeFileSync(join(folder, markerFile), JSON.stringify({ ...marker, holder }))
  const claims = Array.from({ length: 8 }, () => claimDirectory(folder, marker))
  const results = await Promise.allSettled(claims)
  rmSync(folder, { recursive: true })
  process.stdout.write(`${results.filter(({ status }) => status === 'fulfilled').length}\n`)
}

function delayAll(...names: readonly (keyof typeof files)[]): void {
  for (const name of names) {
    const call: unknown = Reflect.get(files, name)
    Reflect.set(files, name, async (...args: readonly unknown[]) => {
      await sleep(Math.random() * longestDelayMs)
      try {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it is one of the functions of this module
        return await Reflect.apply(call as (...values: readonly unknown[]) => unknown, files, args)
      } finally {
        await sleep(Math.random() * longestDelayMs)
      }
    })
  }
  syncBuiltinESMExports()
}
