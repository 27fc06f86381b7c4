/** Every sector and page that is in use is a divisor of this; where one is larger, the file system says EINVAL. */
export const pageBytes = 4096

const wasmPageBytes = 65_536

/** The part of the global that is used here: Node's types leave it out. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number
    readonly maximum: number
    readonly shared: true
  }) => { readonly buffer: SharedArrayBuffer }
}

const allocated = new WeakSet<ArrayBufferLike>()

/**
 * Shared memory of at least this size that begins at a memory page, which no `SharedArrayBuffer` promises and the memory
 * of WebAssembly does. That takes 8 GiB of addresses; where they are limited, it is ordinary shared memory.
 */
export function allocatePages(sizeBytes: number): SharedArrayBuffer {
  const count = Math.ceil(sizeBytes / wasmPageBytes)
  try {
    const { buffer } = new WebAssembly.Memory({ initial: count, maximum: count, shared: true })
    allocated.add(buffer)
    return buffer
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return new SharedArrayBuffer(sizeBytes)
  }
}

/** True when `bytes` begin at a memory page for certain: in memory that this thread got from `allocatePages`. */
export function beginAtPage({ buffer, byteOffset }: Uint8Array): boolean {
  return allocated.has(buffer) && byteOffset % pageBytes === 0
}
