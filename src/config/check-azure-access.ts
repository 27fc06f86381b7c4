import type { z } from 'zod'

interface AzureSettings {
  readonly 'key-file'?: string | undefined
  readonly 'sas-file'?: string | undefined
  readonly auth?: 'managed-identity' | 'workload-identity' | undefined
  readonly 'client-id'?: string | undefined
  readonly 'tenant-id'?: string | undefined
  readonly 'token-file'?: string | undefined
}

/** Reports a proof of who asks that is missing or told twice, and parts of one that is not used. */
export function checkAzureAccess(settings: AzureSettings, context: z.core.$RefinementCtx): void {
  const report = (message: string, found: string): void =>
    context.addIssue({ code: 'custom', message, params: { found } })
  const proofs = [settings['key-file'], settings['sas-file'], settings.auth]
  const count = proofs.filter((proof) => proof !== undefined).length
  if (count !== 1) {
    report('exactly one of key-file, sas-file and auth', count === 0 ? 'none' : 'several')
  }
  if (settings['client-id'] !== undefined && settings.auth === undefined) {
    report('auth with client-id', 'only the latter')
  }
  const isOfWorkload = settings['tenant-id'] !== undefined || settings['token-file'] !== undefined
  if (isOfWorkload && settings.auth !== 'workload-identity') {
    report('auth: workload-identity with tenant-id and token-file', 'another')
  }
}
