import { z } from 'zod'
import { camelKeys } from './camel-keys.ts'
import { checkSftpAccess } from './check-sftp-access.ts'
import { absolutePath, duration, wholeNumber } from './setting-types.ts'

/** The `sftp` settings of one repo, as they are written. Throws what is wrong with them as zod does. */
// oxlint-disable-next-line typescript/explicit-module-boundary-types -- the type is the schema itself
export const sftpAccessSchema = z
  .strictObject({
    'host-key': z
      .string('the fingerprint of a key, such as "SHA256:..."')
      .regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'the fingerprint of a key, such as "SHA256:..."')
      .optional()
      .describe('The fingerprint of the key that the server must have, as "ssh-keygen -lf" prints it.'),
    'known-hosts-file': absolutePath()
      .optional()
      .describe('A file of known hosts, as OpenSSH has it, with the key that the server must have.'),
    'private-key-file': absolutePath()
      .optional()
      .describe('The file that holds the private key of the user, mode 0600.'),
    'private-key-passphrase-file': absolutePath()
      .optional()
      .describe('The file that holds the passphrase of the private key, mode 0600.'),
    'agent-socket': absolutePath()
      .optional()
      .describe('The socket of an SSH agent that holds a private key of the user.'),
    'password-file': absolutePath()
      .optional()
      .describe('The file that holds the password of the user, mode 0600.'),
    'max-requests': wholeNumber(1, 64)
      .default(8)
      .describe('How many objects are read and written at the same time at most.'),
    'idle-timeout': duration()
      .prefault('1m')
      .describe(
        'A server that is silent for so long while it owes an answer is given up, and the request tried again.',
      ),
    'call-timeout': duration()
      .prefault('15m')
      .describe('How long the reading or writing of one object is tried before it fails.'),
  })
  .superRefine(checkSftpAccess)
  .transform(camelKeys)

/** How an SFTP server is reached. */
export type SftpAccess = Readonly<z.output<typeof sftpAccessSchema>>
