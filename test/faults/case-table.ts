import { archiveGet, archiveGetFetched } from './cases/archive-get.ts'
import { archivePush, archivePushAhead } from './cases/archive-push.ts'
import { backup, incrementalBackup } from './cases/backup.ts'
import { dump } from './cases/dump.ts'
import { expire } from './cases/expire.ts'
import { init } from './cases/init.ts'
import { rekey } from './cases/rekey.ts'
import { restore, restoreFiles } from './cases/restore.ts'
import type { FaultCase } from './fault-case.ts'

/** Every command that is swept. A new one is a line here. */
export const faultCases: readonly FaultCase[] = [
  archivePush,
  archivePushAhead,
  archiveGet,
  archiveGetFetched,
  init,
  rekey,
  backup,
  incrementalBackup,
  dump,
  expire,
  restoreFiles,
  restore,
]
