import { after, before, describe } from 'node:test'
import { startAzureServer, type AzureServer } from '../../../test/support/azure-server.ts'
import { testContext } from '../../../test/support/repository.ts'
import { createScratch, type Scratch } from '../../../test/support/scratch.ts'
import { describeStoreContract } from '../../../test/support/store-contract.ts'
import { createAzureStore } from './azure-store.ts'

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
})
