import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Temperature {
  /** Nothing may be in the page cache; only root can see to that. */
  readonly isCold: boolean
  /** When warm: everything below these has to be. */
  readonly folders?: readonly string[]
}

/** Lets what was written before reach the disk, then empties the page cache or fills it. */
export async function settle({ isCold, folders = [] }: Temperature): Promise<void> {
  spawnSync('sync')
  if (isCold) writeFileSync('/proc/sys/vm/drop_caches', '3')
  else if (folders.length > 0)
    spawnSync('find', [...folders, '-type', 'f', '-exec', 'cat', '{}', '+'], { stdio: 'ignore' })
  await sleep(300)
}
