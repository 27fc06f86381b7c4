import { z } from 'zod'
import { camelKeys } from './camel-keys.ts'
import { isEndpoint } from './check-s3-access.ts'
import { absolutePath, choice, duration, flag, wholeNumber } from './setting-types.ts'

const endpointRule = 'https://host or https://host:port; http only to this machine'

/** The `gcs` settings of one repo, as they are written. Throws what is wrong with them as zod does. */
// oxlint-disable-next-line typescript/explicit-module-boundary-types -- the type is the schema itself
export const gcsAccessSchema = z
  .strictObject({
    endpoint: z
      .string('https://host or https://host:port')
      .refine(isEndpoint, endpointRule)
      .optional()
      .describe("Where the store is, for others than Google's own address: https://host:port."),
    'credentials-file': absolutePath()
      .optional()
      .describe(
        'The file of a service account, user or external account (JSON) as Google hands it out, mode 0600. Not set: the service account of this machine, out of its metadata server.',
      ),
    anonymous: flag()
      .default(false)
      .describe('Whether requests carry no credentials at all, as emulators want it; only with an endpoint.'),
    'storage-class': choice(['STANDARD', 'NEARLINE', 'COLDLINE', 'ARCHIVE'])
      .optional()
      .describe('The storage class of new objects. Not set: the one of the bucket.'),
    'kms-key': z
      .string('projects/.../locations/.../keyRings/.../cryptoKeys/...')
      .regex(
        /^projects\/[^/\s]+\/locations\/[^/\s]+\/keyRings\/[^/\s]+\/cryptoKeys\/[^/\s]+$/,
        'projects/.../locations/.../keyRings/.../cryptoKeys/...',
      )
      .optional()
      .describe(
        'The key of Cloud KMS that the store encrypts with, besides our own encryption. Not set: what the bucket says.',
      ),
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
  .superRefine((settings, context) => {
    const report = (message: string, found: string): void =>
      context.addIssue({ code: 'custom', message, params: { found } })
    if (settings.anonymous && settings['credentials-file'] !== undefined) {
      report('either credentials-file or anonymous', 'both')
    }
    if (settings.anonymous && settings.endpoint === undefined) {
      report('an endpoint with anonymous, because nothing at Google is open to all', 'none')
    }
  })
  .transform(camelKeys)

/** How a bucket of Google Cloud Storage is reached. */
export type GcsAccess = Readonly<z.output<typeof gcsAccessSchema>>
