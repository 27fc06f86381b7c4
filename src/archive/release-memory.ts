/** More than Node keeps in a pool that small buffers share. */
const leastBytes = 256 * 1024

/**
 * Gives the memory of bytes that nobody needs any more back at once; they are empty afterwards, and so is whatever shares
 * their memory. Left to V8, which looks through its whole heap whenever 64 MB were allocated, that took 40 % of the time
 * of archiving (perf, November 2026). What may share its memory with others by chance, being small, is left alone.
 */
export function releaseMemory({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= leastBytes) buffer.transfer(0)
}
