import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import { startAzureServer, type AzureServer } from '../../../test/support/azure-server.ts'
import { testContext } from '../../../test/support/repository.ts'
import { createScratch, type Scratch } from '../../../test/support/scratch.ts'
import { collect, describeStoreContract } from '../../../test/support/store-contract.ts'
import type { ObjectStore } from '../object-store.ts'
import { createAzureStore, openAzureStore } from './azure-store.ts'

describe('an Azure store on Azurite', () => {
  let scratch: Scratch
  let server: AzureServer
  let stores = 0
  before(async () => {
    scratch = await createScratch('azure')
    server = await startAzureServer(scratch)
  })
  after(async () => scratch[Symbol.asyncDispose]())

  describeStoreContract('keeps the promises of every store: it', async () => {
    stores += 1
    const location = { container: server.container, keyPrefix: `store-${stores}/` }
    const store = await createAzureStore(location, server.options, testContext())
    return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  })

  test('is opened with a shared access signature, which may be one to create and not to overwrite', async () => {
    const bytes = Uint8Array.of(1, 2, 3)
    await using all = await openWith('racwdl')
    await using few = await openWith('rcl')
    await using none = await openWith('l')

    assert.equal(await few.putIfAbsent('some/key', bytes), 'created')
    assert.equal(await few.putIfAbsent('some/key', bytes), 'exists')
    assert.deepEqual(await few.get('some/key'), bytes)
    await assert.rejects(few.delete(['some/key']), /deleting object "some\/key" .* does not allow it/)
    await assert.rejects(none.get('absent'), /does not allow it/)
    assert.deepEqual(await keysOf(none), ['some/key'])
    await all.delete(['some/key'])
    assert.deepEqual(await keysOf(all), [])
  })

  /** `permissions` as a shared access signature has them. */
  function openWith(permissions: string): Promise<ObjectStore> {
    const { account, accountKey, container, options } = server
    const signature = generateBlobSASQueryParameters(
      {
        containerName: container,
        permissions: ContainerSASPermissions.parse(permissions),
        expiresOn: new Date(Date.now() + 3_600_000),
      },
      new StorageSharedKeyCredential(account, accountKey),
    )
    const login = { kind: 'sas', read: () => Promise.resolve(signature.toString()) } as const
    const location = { container, keyPrefix: 'signed/' }
    return openAzureStore(location, { ...options, login }, testContext())
  }
})

async function keysOf(store: ObjectStore): Promise<string[]> {
  const listed = await collect(store.list(''))
  return listed.map(({ key }) => key)
}
