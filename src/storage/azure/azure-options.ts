/** Where a repository lies in Azure Blob Storage. */
export interface AzureLocation {
  readonly container: string
  /** Before every key, with a slash at its end; empty for the whole container. */
  readonly keyPrefix: string
}

/** `azure:container/prefix`. */
export function formatAzureLocation({ container, keyPrefix }: AzureLocation): string {
  return `azure:${container}${keyPrefix === '' ? '' : `/${keyPrefix.slice(0, -1)}`}`
}

/** How requests prove who sends them. What is read is read when it is needed, and never kept in a message. */
export type AzureLogin =
  /** The key of the account, in base64. */
  | { readonly kind: 'key'; readonly read: () => Promise<string> }
  /** A shared access signature, with or without its question mark; read again from time to time. */
  | { readonly kind: 'sas'; readonly read: () => Promise<string> }
  | AzureIdentity

export type AzureIdentity =
  /** The identity of this machine. `clientId`: which one, when it has several. */
  | { readonly kind: 'managed-identity'; readonly clientId: string | undefined }
  /** An identity that trusts tokens of somebody else, such as of a Kubernetes cluster. */
  | {
      readonly kind: 'workload-identity'
      readonly clientId: string
      readonly tenantId: string
      /** `https://host`, where Entra is. */
      readonly authority: string
      readonly readAssertion: () => Promise<string>
    }

export interface AzureStoreOptions {
  readonly account: string
  /** `https://host[:port]`. Undefined: that of the account in the public cloud. */
  readonly endpoint?: string | undefined
  /** Whether the account is in the path of the URL. Undefined: where the host is a number or this machine. */
  readonly isPathStyle?: boolean | undefined
  readonly login: AzureLogin
  /** The access tier of new objects. Undefined: that of the account. */
  readonly accessTier?: 'hot' | 'cool' | 'cold' | undefined
  /** PEM certificates that are trusted besides those of the system. */
  readonly caCertificates?: string | undefined
  /** How many requests are under way at once at most. */
  readonly maxRequests: number
  /** A connection on which nothing moves for so long is given up. */
  readonly idleTimeoutMs: number
  /** How long one call tries before it fails. */
  readonly callTimeoutMs: number
  /** Where the identity of this machine is asked for. Undefined: the address that Azure has for that. */
  readonly identityEndpoint?: string | undefined
}

/** The address of a container. */
export function containerUrl(
  { container }: AzureLocation,
  { account, endpoint, isPathStyle }: AzureStoreOptions,
): string {
  const url = new URL(endpoint ?? `https://${account}.blob.core.windows.net`)
  const isNumber = /^(\[.*\]|[\d.]+)$/.test(url.hostname)
  const inPath = isPathStyle ?? (isNumber || url.hostname === 'localhost')
  return `${url.origin}${inPath ? `/${account}` : ''}/${container}`
}
