import type { AzureIdentity } from './azure-options.ts'

/** Why there is no token for an identity, in the operator's words and without a secret. */
export class TokenFault extends Error {
  override readonly name = 'TokenFault'
  readonly hint: string
  /** Whether asking again may help. */
  readonly isTransient: boolean

  private constructor(
    message: string,
    { hint, isTransient, cause }: { hint: string; isTransient: boolean; cause?: unknown },
  ) {
    super(message, { cause })
    this.hint = hint
    this.isTransient = isTransient
  }

  static unreached(host: string, cause: unknown): TokenFault {
    return new TokenFault(`nothing that gives out tokens answers at "${host}" (${systemNameOf(cause)})`, {
      hint: 'Run this on a machine of Azure that has an identity, or prove who it is in another way: docs/azure.md lists them.',
      isTransient: true,
      cause,
    })
  }

  /** An answer without a token. Of its text only names are repeated. */
  static answered(
    { kind }: AzureIdentity,
    status: number,
    answer: Readonly<Record<string, unknown>>,
  ): TokenFault {
    const named = /AADSTS\d{1,9}/.exec(textOf(answer['error_description']))?.[0] ?? textOf(answer['error'])
    const name = /^\w{1,64}$/.test(named) ? `${status}, ${named}` : String(status)
    if (status === 404 || status === 410 || status === 429 || status >= 500) {
      return new TokenFault(`the service that gives out tokens is busy (${name})`, {
        hint: 'Wait until it has less to do.',
        isTransient: true,
      })
    }
    return kind === 'managed-identity'
      ? new TokenFault(`this machine does not get a token for its identity (${name})`, {
          hint: 'Give the machine an identity, and name it in azure.client-id of the repo when there are several.',
          isTransient: false,
        })
      : new TokenFault(`Entra does not take the token of the workload (${name})`, {
          hint: 'Check azure.client-id, azure.tenant-id and azure.token-file of the repo, and the federated credential of the identity.',
          isTransient: false,
        })
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** `fetch` wraps what the system said, and times out under another name. */
function systemNameOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code: unknown = inner instanceof Error && 'code' in inner ? inner.code : undefined
  if (typeof code === 'string' && /^\w{1,64}$/.test(code)) return code
  return inner instanceof Error && inner.name === 'TimeoutError' ? 'no answer in time' : 'no connection'
}
