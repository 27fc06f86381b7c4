/** pd_lsn is the first field of a page: two 32-bit halves, the high one first (storage/bufpage.h). */
export function readPageLsn(bytes: Uint8Array, offset = 0): bigint {
  const header = new DataView(bytes.buffer, bytes.byteOffset + offset, 8)
  return (BigInt(header.getUint32(0, true)) << 32n) | BigInt(header.getUint32(4, true))
}
