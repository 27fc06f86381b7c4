import { z } from 'zod'
import { camelKeys } from './camel-keys.ts'
import { checkS3Access, isEndpoint } from './check-s3-access.ts'
import { absolutePath, choice, duration, flag, wholeNumber } from './setting-types.ts'

const storageClassRule = 'a storage class that is read at once, such as "STANDARD_IA"'

/** The `s3` settings of one repo, as they are written. Throws what is wrong with them as zod does. */
// oxlint-disable-next-line typescript/explicit-module-boundary-types -- the type is the schema itself
export const s3AccessSchema = z
  .strictObject({
    endpoint: z
      .string('https://host or https://host:port')
      .refine(isEndpoint, 'https://host or https://host:port; http only to this machine')
      .optional()
      .describe('Where the store is, for others than AWS: https://host:port. Not set: AWS.'),
    region: z
      .string('the name of a region')
      .regex(/^[a-z0-9-]{1,64}$/, 'the name of a region')
      .default('us-east-1')
      .describe('The region of the bucket.'),
    'path-style': flag()
      .optional()
      .describe(
        'Whether the bucket is in the path of the address (true) or in its host name (false). Not set: true with an endpoint.',
      ),
    'access-key-id': z
      .string('the id of an access key')
      .regex(/^[\w.+=/@-]{1,256}$/, 'the id of an access key')
      .optional()
      .describe(
        'The id of the access key. Not set: the usual places of AWS are searched (its variables and files, container, instance).',
      ),
    'secret-key-file': absolutePath()
      .optional()
      .describe('The file that holds the secret of the access key, mode 0600.'),
    'session-token-file': absolutePath()
      .optional()
      .describe(
        'The file that holds the session token of keys that are lent for a while, mode 0600. It is read again while the tool runs.',
      ),
    profile: z
      .string('the name of a profile')
      .regex(/^[\w.@-]{1,64}$/, 'the name of a profile')
      .optional()
      .describe(
        'The profile in the files of AWS. Not set: the one that AWS_PROFILE names, or the default one.',
      ),
    'server-side-encryption': choice(['AES256', 'aws:kms'])
      .optional()
      .describe('What the store encrypts with, besides our own encryption. Not set: what the bucket says.'),
    'kms-key-id': z
      .string('the id of a key')
      .regex(/^[\w:/-]{1,2048}$/, 'the id of a key')
      .optional()
      .describe('The key for "aws:kms". Not set: the one of the bucket.'),
    'storage-class': z
      .string(storageClassRule)
      .regex(/^(?!GLACIER$|DEEP_ARCHIVE$)[\w-]{1,64}$/, storageClassRule)
      .optional()
      .describe('The storage class of new objects. Not set: the one of the bucket.'),
    'retention-days': wholeNumber(1, 36_500)
      .optional()
      .describe(
        'For how many days new objects are locked, in a bucket with object lock. Not set: as the bucket says.',
      ),
    'retention-mode': choice(['governance', 'compliance'])
      .optional()
      .describe(
        'With retention-days: who may lift the lock. "governance": whoever has s3:BypassGovernanceRetention; "compliance": nobody. Not set: governance.',
      ),
    'ca-file': absolutePath()
      .optional()
      .describe('A file of certificates (PEM) that are trusted besides those of the system.'),
    checksums: flag()
      .optional()
      .describe(
        'Whether requests carry checksums that not every store understands. Not set: true for AWS, false with an endpoint.',
      ),
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
  .superRefine(checkS3Access)
  .transform(camelKeys)

/** How a bucket is reached. */
export type S3Access = Readonly<z.output<typeof s3AccessSchema>>
