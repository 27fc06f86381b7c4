import { after, before, describe } from 'node:test'
import { describeStoreContract } from '../../../test/support/store-contract.ts'
import { createScratch, type Scratch } from '../../../test/support/scratch.ts'
import { startSftpServer } from '../../../test/support/sftp-server.ts'
import { testContext } from '../../../test/support/repository.ts'
import { createSftpStore } from './sftp-store.ts'

const servers = [
  { name: 'OpenSSH', without: [] },
  {
    name: 'a server without extensions',
    without: ['fsync', 'hardlink', 'statvfs', 'limits', 'posix-rename'],
  },
]

for (const { name, without } of servers) {
  describe(`an SFTP store on ${name}`, () => {
    let scratch: Scratch
    let server: Awaited<ReturnType<typeof startSftpServer>>
    let stores = 0
    before(async () => {
      scratch = await createScratch('sftp')
      server = await startSftpServer(scratch, { without })
    })
    after(async () => scratch[Symbol.asyncDispose]())

    describeStoreContract('keeps the promises of every store: it', async () => {
      stores += 1
      const store = await createSftpStore(server.locationOf(`store-${stores}`), server.options, testContext())
      return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
    })
  })
}
