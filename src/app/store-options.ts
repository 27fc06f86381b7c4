import assert from 'node:assert/strict'
import { readSecretFile } from '../config/read-secret-file.ts'
import type { AzureAccess } from '../config/azure-access-schema.ts'
import type { S3Access } from '../config/s3-access-schema.ts'
import type { SftpAccess } from '../config/sftp-access-schema.ts'
import type { GcsAccess } from '../config/gcs-access-schema.ts'
import type { StoreOptions } from '../storage/open-store.ts'
import type { S3Credentials, S3StoreOptions } from '../storage/s3/s3-options.ts'
import type { SftpLogin, SftpStoreOptions } from '../storage/sftp/sftp-options.ts'
import { azureOptions } from './azure-options.ts'
import { gcsOptions } from './gcs-options.ts'
import { readNamedFile, readSecretText } from './named-files.ts'

/** How the store of a configured repo is opened. Reads the files that the configuration names, so that they are known to be right. */
export async function storeOptions({ s3, gcs, sftp, azure }: Accesses): Promise<StoreOptions> {
  return {
    access: 'write',
    ...(s3 !== undefined && { s3: await s3Options(s3) }),
    ...(gcs !== undefined && { gcs: await gcsOptions(gcs) }),
    ...(sftp !== undefined && { sftp: await sftpOptions(sftp) }),
    ...(azure !== undefined && { azure: await azureOptions(azure) }),
  }
}

interface Accesses {
  readonly s3?: S3Access | undefined
  readonly gcs?: GcsAccess | undefined
  readonly sftp?: SftpAccess | undefined
  readonly azure?: AzureAccess | undefined
}

async function s3Options(access: S3Access): Promise<S3StoreOptions> {
  const { accessKeyId, secretKeyFile, sessionTokenFile, caFile } = access
  const { pathStyle: isPathStyle, checksums: hasChecksums } = access
  const { retentionDays: days, retentionMode: mode = 'governance' } = access
  const options = {
    ...access,
    isPathStyle,
    hasChecksums,
    retention: days === undefined ? undefined : { mode, days },
    idleTimeoutMs: access.idleTimeout,
    callTimeoutMs: access.callTimeout,
    caCertificates: caFile === undefined ? undefined : await readNamedFile(caFile, 's3.ca-file'),
  }
  if (accessKeyId === undefined || secretKeyFile === undefined) return options
  const readCredentials = async (): Promise<S3Credentials> => ({
    accessKeyId,
    secretAccessKey: await readSecretText(secretKeyFile),
    ...(sessionTokenFile !== undefined && { sessionToken: await readSecretText(sessionTokenFile) }),
  })
  await readCredentials()
  return { ...options, readCredentials }
}

async function sftpOptions(access: SftpAccess): Promise<SftpStoreOptions> {
  const { hostKey, knownHostsFile, maxRequests, idleTimeout, callTimeout } = access
  const login = loginOf(access)
  if (login.kind !== 'agent') await login.read()
  return {
    login,
    trust: {
      fingerprint: hostKey,
      knownHosts:
        knownHostsFile === undefined
          ? undefined
          : await readNamedFile(knownHostsFile, 'sftp.known-hosts-file'),
    },
    maxRequests,
    idleTimeoutMs: idleTimeout,
    callTimeoutMs: callTimeout,
  }
}

function loginOf(access: SftpAccess): SftpLogin {
  const { privateKeyFile, privateKeyPassphraseFile, agentSocket, passwordFile } = access
  if (agentSocket !== undefined) return { kind: 'agent', socketPath: agentSocket }
  if (passwordFile !== undefined) return { kind: 'password', read: () => readSecretText(passwordFile) }
  assert.ok(privateKeyFile !== undefined, 'the configuration names one way to log in')
  return {
    kind: 'private-key',
    read: async () => ({
      content: await readSecretFile(privateKeyFile),
      passphrase:
        privateKeyPassphraseFile === undefined ? undefined : await readSecretText(privateKeyPassphraseFile),
    }),
  }
}
