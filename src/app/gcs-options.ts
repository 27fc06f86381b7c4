import type { GcsAccess } from '../config/gcs-access-schema.ts'
import type { GcsCredentials, GcsStoreOptions } from '../storage/gcs/gcs-options.ts'
import { readNamedFile, readSecretText } from './named-files.ts'

/** How a bucket of Google Cloud Storage is opened. Reads the files that the configuration names, so that they are known to be right. */
export async function gcsOptions(access: GcsAccess): Promise<GcsStoreOptions> {
  const { endpoint, storageClass, kmsKey, caFile, maxRequests, idleTimeout, callTimeout } = access
  return {
    endpoint,
    credentials: await credentialsOf(access),
    storageClass,
    kmsKey,
    caCertificates: caFile === undefined ? undefined : await readNamedFile(caFile, 'gcs.ca-file'),
    maxRequests,
    idleTimeoutMs: idleTimeout,
    callTimeoutMs: callTimeout,
  }
}

async function credentialsOf({ credentialsFile, anonymous }: GcsAccess): Promise<GcsCredentials> {
  if (anonymous) return { kind: 'none' }
  if (credentialsFile === undefined) return { kind: 'instance' }
  const read = (): Promise<string> => readSecretText(credentialsFile)
  await read()
  return { kind: 'file', read }
}
