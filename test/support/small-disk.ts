import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { systemClock } from '../../src/platform/system-clock.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { createPosixStore } from '../../src/storage/posix/posix-store.ts'

const context = { clock: systemClock, signal: new AbortController().signal }

interface SmallDisk extends AsyncDisposable {
  readonly path: string
  readonly store: ObjectStore
}

/** A store on a file system of its own. */
export async function makeSmallDisk(options: string): Promise<SmallDisk> {
  await using opened = new AsyncDisposableStack()
  const path = await mkdtemp(join(tmpdir(), 'holdfast-disk-'))
  opened.defer(() => rm(path, { recursive: true }))
  opened.use(await mountTmpfs(path, options))
  const store = opened.use(await createPosixStore(path, { access: 'write' }, context))
  const owned = opened.move()
  return { path, store, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Mounts a file system in memory, which needs root. */
export async function mountTmpfs(
  path: string,
  options: string,
): Promise<AsyncDisposable & { readonly path: string }> {
  assert.equal(process.getuid?.(), 0, 'this test mounts small file systems, so it has to run as root')
  mount('-t', 'tmpfs', '-o', options, 'tmpfs', path)
  return {
    path,
    async [Symbol.asyncDispose]() {
      // The test may have unmounted it itself.
      const [top, above] = await Promise.all([stat(path), stat(dirname(path))])
      if (top.dev !== above.dev) execFileSync('/bin/umount', [path])
    },
  }
}

export function mount(...args: readonly string[]): void {
  execFileSync('/bin/mount', args)
}
