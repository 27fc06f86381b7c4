import { readFile } from 'node:fs/promises'
import { readSecretFile } from '../config/read-secret-file.ts'
import type { S3Access } from '../config/configuration-schema.ts'
import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { describeSystemError, isSystemError } from '../platform/durable-file.ts'
import type { StoreOptions } from '../storage/open-store.ts'
import type { S3Credentials, S3StoreOptions } from '../storage/s3/s3-options.ts'

/** How the store of a configured repo is opened. Reads the files that the configuration names, so that they are known to be right. */
export async function storeOptions({ s3 }: { readonly s3?: S3Access | undefined }): Promise<StoreOptions> {
  return s3 === undefined ? { access: 'write' } : { access: 'write', s3: await s3Options(s3) }
}

async function s3Options(access: S3Access): Promise<S3StoreOptions> {
  const { accessKeyId, secretKeyFile, sessionTokenFile, caFile } = access
  const { pathStyle: isPathStyle, checksums: hasChecksums } = access
  const options = {
    ...access,
    isPathStyle,
    hasChecksums,
    idleTimeoutMs: access.idleTimeout,
    callTimeoutMs: access.callTimeout,
    caCertificates: caFile === undefined ? undefined : await readCertificates(caFile),
  }
  if (accessKeyId === undefined || secretKeyFile === undefined) return options
  const readCredentials = async (): Promise<S3Credentials> => ({
    accessKeyId,
    secretAccessKey: await readText(secretKeyFile),
    ...(sessionTokenFile !== undefined && { sessionToken: await readText(sessionTokenFile) }),
  })
  await readCredentials()
  return { ...options, readCredentials }
}

async function readText(secretFile: string): Promise<string> {
  return (await readSecretFile(secretFile)).toString('utf8')
}

async function readCertificates(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (!isSystemError(cause)) throw cause
    throw new OperationError(
      'file-unreadable',
      `reading the certificates in ${quote(path)}: ${describeSystemError(cause)}`,
      { cause, hint: 'Correct s3.ca-file of the repo, or give the file to the user who runs the tool.' },
    )
  }
}
