import { describeStoreContract } from '../../../test/support/store-contract.ts'
import { systemClock } from '../../platform/system-clock.ts'
import { MemoryStore } from './memory-store.ts'

describeStoreContract('the memory store', async () => {
  const store = new MemoryStore('test', systemClock)
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
})
