import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { describe, test } from 'node:test'
import { blockSize, createPageKernel } from './page-kernel.ts'

const blocksPerSegment = 131_072

describe('the page kernel on the files of PostgreSQL itself', () => {
  for (const major of [14, 15, 16, 17, 18]) {
    test(`finds every page of ${major} good, and bad once a bit is flipped (R13)`, () => {
      using cluster = createCluster(major)
      const kernel = createPageKernel({ seed: 0n })
      let pageCount = 0
      let newPageCount = 0

      for (const { path, firstBlock } of relationFiles(cluster.folder)) {
        const content = readFileSync(path)
        assert.equal(content.length % blockSize, 0, path)
        for (let offset = 0; offset < content.length; offset += kernel.input.length) {
          const part = content.subarray(offset, offset + kernel.input.length)
          kernel.input.set(part)
          const block = firstBlock + offset / blockSize
          assert.deepEqual(kernel.checkPages({ offset: 0, length: part.length }, block), [], path)

          const count = part.length / blockSize
          for (let index = 0; index < count; index += 1) {
            const flipped = index * blockSize + ((index * 977 + offset) % blockSize)
            kernel.input[flipped] = (kernel.input[flipped] ?? 0) ^ 0x40
          }
          assert.equal(kernel.checkPages({ offset: 0, length: part.length }, block).length, count, path)
          pageCount += count
          newPageCount += countZeroPages(part)
        }
      }

      assert.ok(pageCount - newPageCount > 2000, `${pageCount} pages, ${newPageCount} of them new`)
    })
  }
})

interface Cluster extends Disposable {
  readonly folder: string
}

function createCluster(major: number): Cluster {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-pages-'))
  const { uid, gid } = unprivilegedUser()
  if (process.getuid?.() === 0) chownSync(folder, uid, gid)
  const initdb = join(import.meta.dirname, `../../node_modules/pg${major}/native/bin/initdb`)
  const options = [
    '--data-checksums',
    '--no-sync',
    '--username=postgres',
    '--auth=trust',
    `--pgdata=${folder}/data`,
  ]
  const { status, stderr } = spawnSync(initdb, options, {
    cwd: folder,
    env: { LC_ALL: 'C' },
    encoding: 'utf8',
    ...(process.getuid?.() === 0 && { uid, gid }),
  })
  assert.equal(status, 0, stderr)
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}

/** PostgreSQL refuses to run as root. */
function unprivilegedUser(): { uid: number; gid: number } {
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === 'postgres')
  return { uid: Number(entry?.[2] ?? 65_534), gid: Number(entry?.[3] ?? 65_534) }
}

/** Main forks and the others: visibility and free space maps carry checksums too. */
function relationFiles(folder: string): { path: string; firstBlock: number }[] {
  return globSync('data/{base/*,global}/*', { cwd: folder }).flatMap((file) => {
    const match = /^\d+(?:_fsm|_vm|_init)?(?:\.(\d+))?$/.exec(basename(file))
    return match ? [{ path: join(folder, file), firstBlock: Number(match[1] ?? 0) * blocksPerSegment }] : []
  })
}

function countZeroPages(bytes: Buffer): number {
  const zeroes = Buffer.alloc(blockSize)
  let count = 0
  for (let offset = 0; offset < bytes.length; offset += blockSize) {
    if (bytes.subarray(offset, offset + blockSize).equals(zeroes)) count += 1
  }
  return count
}
