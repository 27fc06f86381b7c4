import { readFile } from 'node:fs/promises'
import { GcsEndpoint } from '../../../test/support/gcs-endpoint/gcs-endpoint.ts'
import { collect, describeStoreContract } from '../../../test/support/store-contract.ts'
import { freshName } from '../../platform/random.ts'
import { systemClock } from '../../platform/system-clock.ts'
import { openGcsStore } from './gcs-store.ts'

describeStoreContract('a store in Google Cloud Storage, on a stub', async () => {
  const endpoint = await GcsEndpoint.start()
  // Both ends are this process: while one computes the other waits.
  const options = { ...endpoint.options, idleTimeoutMs: 30_000 }
  const store = openGcsStore({ bucket: 'bucket', keyPrefix: 'p/' }, options, { clock: systemClock })
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]()
      await endpoint[Symbol.asyncDispose]()
    },
  }
})

/** A bucket of Google's own, when somebody names one: docs/gcs.md. Every test has a prefix of its own, and empties it. */
const realBucket = process.env['HOLDFAST_TEST_GCS_BUCKET']
const credentialsFile = process.env['HOLDFAST_TEST_GCS_CREDENTIALS_FILE']

if (realBucket !== undefined) {
  describeStoreContract(`a store in Google Cloud Storage, in the bucket ${realBucket}`, async () => {
    const options = {
      credentials:
        credentialsFile === undefined
          ? ({ kind: 'instance' } as const)
          : ({ kind: 'file', read: () => readFile(credentialsFile, 'utf8') } as const),
      maxRequests: 8,
      idleTimeoutMs: 30_000,
      callTimeoutMs: 300_000,
    }
    const location = { bucket: realBucket, keyPrefix: `holdfast-test-${freshName()}/` }
    const store = openGcsStore(location, options, { clock: systemClock })
    return {
      store,
      [Symbol.asyncDispose]: async () => {
        const left = await collect(store.list(''))
        await store.delete(left.map(({ key }) => key))
        await store[Symbol.asyncDispose]()
      },
    }
  })
}
