import type { Clock } from '../../domain/run-context.ts'
import type { AzureIdentity, AzureLogin } from './azure-options.ts'
import { IdentityTokens } from './identity-tokens.ts'

/** How a request is made one of somebody: after the SDK has built it, so that no secret is in what the SDK keeps or tells. */
export interface Credentials {
  /** Of the account, which the SDK signs with. Undefined: it signs nothing. */
  readonly accountKey: string | undefined
  /** What is added to the address and to the headers of a request. */
  readonly grant: () => Promise<Grant>
  /** What must not be told. */
  readonly secrets: () => readonly string[]
  /** From when to when the shared access signature is valid, as far as it says so. */
  readonly validity: () => Validity
}

export interface Grant {
  /** Parameters of the address, without a question mark. */
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Validity {
  readonly startsAtMs: number | undefined
  readonly endsAtMs: number | undefined
}

/** How long a shared access signature is used before it is read again: whoever lends it renews the file. */
const signatureLifeMs = 15 * 60_000

const always: Validity = { startsAtMs: undefined, endsAtMs: undefined }

/** Reads what the login names, so that it is known to be there. `identityEndpoint` is for tests. */
export async function openCredentials(
  login: AzureLogin,
  clock: Pick<Clock, 'now'>,
  identityEndpoint?: string,
): Promise<Credentials> {
  switch (login.kind) {
    case 'key': {
      const accountKey = await login.read()
      return {
        accountKey,
        grant: () => Promise.resolve({}),
        secrets: () => [accountKey],
        validity: () => always,
      }
    }
    case 'sas':
      return signatureCredentials(login.read, clock)
    case 'managed-identity':
    case 'workload-identity':
      return identityCredentials(login, clock, identityEndpoint)
  }
}

function identityCredentials(
  identity: AzureIdentity,
  clock: Pick<Clock, 'now'>,
  endpoint: string | undefined,
): Credentials {
  const tokens = new IdentityTokens(identity, clock, endpoint)
  return {
    accountKey: undefined,
    grant: async () => ({ headers: { authorization: `Bearer ${await tokens.current()}` } }),
    secrets: () => (tokens.known === undefined ? [] : [tokens.known]),
    validity: () => always,
  }
}

async function signatureCredentials(
  read: () => Promise<string>,
  clock: Pick<Clock, 'now'>,
): Promise<Credentials> {
  let query = withoutMark(await read())
  let readAtMs = clock.now()
  return {
    accountKey: undefined,
    grant: async () => {
      if (clock.now() - readAtMs > signatureLifeMs) {
        query = withoutMark(await read())
        readAtMs = clock.now()
      }
      return { query }
    },
    secrets: () => secretsIn(query),
    validity: () => {
      const parameters = new URLSearchParams(query)
      return { startsAtMs: timeOf(parameters.get('st')), endsAtMs: timeOf(parameters.get('se')) }
    },
  }
}

/** Portals and tools write it with the question mark of an address, and without. */
function withoutMark(text: string): string {
  return text.trim().replace(/^\?/, '')
}

/** All of it, and its signature as it is written and as it is meant. */
function secretsIn(query: string): readonly string[] {
  const written = /(?:^|&)sig=([^&]+)/.exec(query)?.[1]
  const meant = new URLSearchParams(query).get('sig')
  return [query, written ?? query, meant ?? query]
}

function timeOf(text: string | null): number | undefined {
  const time = text === null ? NaN : Date.parse(text)
  return Number.isNaN(time) ? undefined : time
}
