import { inOrder, sampleFile } from '../../test/support/repository-samples.ts'
import { testContext, testRepository } from '../../test/support/repository.ts'
import { readManifest, storeManifest } from '../../test/support/sample-backup.ts'
import type { HotPath } from './hot-path.ts'

const fileCount = 50_000

/** A manifest of many files, to a store in memory and back. */
export async function manifestPaths(): Promise<readonly HotPath[]> {
  const context = testContext()
  const repository = await testRepository(context)
  const files = inOrder(
    Array.from({ length: fileCount }, (_, index) => sampleFile(`base/${index % 7}/${100_000 + index}`)),
  )
  const name = await storeManifest(repository, files, context)
  const amount = fileCount / 1e6
  // Each manifest goes into a repository of its own: nothing is stored twice under one name.
  const write = async (): Promise<unknown> => storeManifest(await testRepository(context), files, context)
  return [
    { name: 'write a manifest', per: 'million files', amount, run: write },
    {
      name: 'read a manifest',
      per: 'million files',
      amount,
      run: () => readManifest(repository, name, context),
    },
  ]
}
