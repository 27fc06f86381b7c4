import { after, before, describe } from 'node:test'
import { systemClock } from '../../platform/system-clock.ts'
import { describeStoreContract } from '../../../test/support/store-contract.ts'
import { startS3Server, type S3Server } from '../../../test/support/s3-server.ts'
import { createScratch, type Scratch } from '../../../test/support/scratch.ts'
import { openS3Store } from './s3-store.ts'

describe('an S3 store on Ceph', () => {
  let scratch: Scratch
  let server: S3Server
  let stores = 0
  before(async () => {
    scratch = await createScratch('s3')
    server = await startS3Server(scratch)
  })
  after(async () => scratch[Symbol.asyncDispose]())

  describeStoreContract('keeps the promises of every store: it', async () => {
    stores += 1
    const location = { bucket: server.bucket, keyPrefix: `store-${stores}/` }
    const store = await openS3Store(location, server.options, { clock: systemClock })
    return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  })
})
