import assert from 'node:assert/strict'
import type { AzureAccess } from '../config/azure-access-schema.ts'
import { OperationError } from '../domain/operation-error.ts'
import { processEnvironment, type Environment } from '../platform/environment.ts'
import type { AzureIdentity, AzureLogin, AzureStoreOptions } from '../storage/azure/azure-options.ts'
import { readNamedFile, readSecretText } from './named-files.ts'

/** How a container of Azure is opened. Reads the files that the configuration names, so that they are known to be right. */
export async function azureOptions(
  access: AzureAccess,
  variables: Environment = processEnvironment(),
): Promise<AzureStoreOptions> {
  const { account, endpoint, pathStyle: isPathStyle, accessTier, caFile, maxRequests } = access
  const login = loginOf(access, variables)
  if (login.kind === 'key' || login.kind === 'sas') await login.read()
  if (login.kind === 'workload-identity') await login.readAssertion()
  return {
    account,
    endpoint,
    isPathStyle,
    login,
    accessTier,
    caCertificates: caFile === undefined ? undefined : await readNamedFile(caFile, 'azure.ca-file'),
    maxRequests,
    idleTimeoutMs: access.idleTimeout,
    callTimeoutMs: access.callTimeout,
  }
}

function loginOf(access: AzureAccess, variables: Environment): AzureLogin {
  const { keyFile, sasFile, auth, clientId } = access
  if (keyFile !== undefined) return { kind: 'key', read: async () => (await readSecretText(keyFile)).trim() }
  if (sasFile !== undefined) return { kind: 'sas', read: () => readSecretText(sasFile) }
  assert.ok(auth !== undefined, 'the configuration names one way to prove who asks')
  return auth === 'managed-identity' ? { kind: auth, clientId } : workloadOf(access, variables)
}

/** The variables are those that Kubernetes gets from the workload identity of Azure. */
function workloadOf(access: AzureAccess, variables: Environment): AzureIdentity {
  const tokenFile = needed(access.tokenFile ?? variables['AZURE_FEDERATED_TOKEN_FILE'], 'token-file')
  const authority = variables['AZURE_AUTHORITY_HOST'] ?? 'https://login.microsoftonline.com'
  return {
    kind: 'workload-identity',
    clientId: needed(access.clientId ?? variables['AZURE_CLIENT_ID'], 'client-id'),
    tenantId: needed(access.tenantId ?? variables['AZURE_TENANT_ID'], 'tenant-id'),
    authority: authorityOf(authority),
    // Kubernetes puts it there as a link, readable for its whole group, and exchanges it every hour: no secret file of ours.
    readAssertion: async () => (await readNamedFile(tokenFile, 'azure.token-file')).trim(),
  }
}

function needed(value: string | undefined, setting: string): string {
  if (value !== undefined && value !== '') return value
  throw new OperationError(
    'config-invalid',
    `reading how a container of Azure is reached: expected azure.${setting} for auth: workload-identity, found neither it nor its variable`,
    { hint: `Set azure.${setting} of the repo; docs/azure.md says to what.` },
  )
}

/** What is sent there is a secret. */
function authorityOf(text: string): string {
  if (URL.canParse(text) && new URL(text).protocol === 'https:') return new URL(text).origin
  throw new OperationError(
    'config-invalid',
    'reading how a container of Azure is reached: expected https://host in AZURE_AUTHORITY_HOST, found something else',
    { hint: 'Correct this variable, or unset it for the public cloud.' },
  )
}
