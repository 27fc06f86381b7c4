import { z } from 'zod'
import { camelKeys } from './camel-keys.ts'
import { checkAzureAccess } from './check-azure-access.ts'
import { isEndpoint } from './check-s3-access.ts'
import { absolutePath, choice, duration, flag, wholeNumber } from './setting-types.ts'

/** The `azure` settings of one repo, as they are written. Throws what is wrong with them as zod does. */
export const azureAccessSchema = z
  .strictObject({
    account: z
      .string('the name of a storage account')
      .regex(/^[a-z0-9]{3,24}$/, 'the name of a storage account')
      .describe('The storage account that the container is in.'),
    endpoint: z
      .string('https://host or https://host:port')
      .refine(isEndpoint, 'https://host or https://host:port; http only to this machine')
      .optional()
      .describe(
        'Where the account is, for other clouds than the public one: https://host:port. Not set: https://ACCOUNT.blob.core.windows.net.',
      ),
    'path-style': flag()
      .optional()
      .describe(
        'Whether the account is in the path of the address (true) or in its host name (false). Not set: true when the host is a number or this machine.',
      ),
    'key-file': absolutePath().optional().describe('The file that holds a key of the account, mode 0600.'),
    'sas-file': absolutePath()
      .optional()
      .describe(
        'The file that holds a shared access signature, mode 0600. It is read again while the tool runs.',
      ),
    auth: choice(['managed-identity', 'workload-identity'])
      .optional()
      .describe(
        'Which identity asks, where there is neither a key nor a signature: that of this machine, or one that trusts the token of a workload.',
      ),
    'client-id': z
      .string('the client id of an identity')
      .regex(/^[\w-]{1,64}$/, 'the client id of an identity')
      .optional()
      .describe(
        'The client id of the identity. Not set: the only one of the machine; for a workload, what AZURE_CLIENT_ID says.',
      ),
    'tenant-id': z
      .string('the id of a tenant')
      .regex(/^[\w.-]{1,253}$/, 'the id of a tenant')
      .optional()
      .describe('The tenant of the identity of a workload. Not set: what AZURE_TENANT_ID says.'),
    'token-file': absolutePath()
      .optional()
      .describe(
        'The file that holds the token of the workload; it is read again for each use. Not set: what AZURE_FEDERATED_TOKEN_FILE says.',
      ),
    'access-tier': choice(['hot', 'cool', 'cold'])
      .optional()
      .describe('The access tier of new objects. Not set: the one of the account.'),
    'ca-file': absolutePath()
      .optional()
      .describe('A file of certificates (PEM) that are trusted besides those of the system.'),
    'max-requests': wholeNumber(1, 64)
      .default(8)
      .describe('How many requests are under way at the same time at most.'),
    'idle-timeout': duration()
      .prefault('30s')
      .describe('A connection on which nothing moves for so long is given up, and the request tried again.'),
    'call-timeout': duration()
      .prefault('15m')
      .describe('How long the reading or writing of one object is tried before it fails.'),
  })
  .superRefine(checkAzureAccess)
  .transform(camelKeys)

/** How a container of Azure is reached. */
export type AzureAccess = Readonly<z.output<typeof azureAccessSchema>>
