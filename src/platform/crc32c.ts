/** The Castagnoli polynomial, bits reversed (RFC 3720, appendix B.4; port/pg_crc32c.h). */
const polynomial = 0x82f63b78

let lazyTables: Int32Array | undefined

/**
 * CRC-32C of `bytes`, as PostgreSQL keeps it in WAL records and in pg_control. Pass the CRC of what comes before as
 * `seed` to go on from there: `crc32c(b, crc32c(a))` is the CRC of a followed by b.
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  const tables = (lazyTables ??= buildTables())
  // Slicing by eight. Making the view pays from 16 bytes on, and it reads words at any address (bench/crc32c.ts).
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tail = bytes.length - (bytes.length % 8)
  let crc = ~seed
  for (let offset = 0; offset < tail; offset += 8) {
    const low = words.getInt32(offset, true) ^ crc
    const high = words.getInt32(offset + 4, true)
    crc =
      entry(tables, 0x700 | (low & 0xff)) ^
      entry(tables, 0x600 | ((low >>> 8) & 0xff)) ^
      entry(tables, 0x500 | ((low >>> 16) & 0xff)) ^
      entry(tables, 0x400 | (low >>> 24)) ^
      entry(tables, 0x300 | (high & 0xff)) ^
      entry(tables, 0x200 | ((high >>> 8) & 0xff)) ^
      entry(tables, 0x100 | ((high >>> 16) & 0xff)) ^
      entry(tables, high >>> 24)
  }
  for (let offset = tail; offset < bytes.length; offset += 1) {
    crc = entry(tables, (words.getUint8(offset) ^ crc) & 0xff) ^ (crc >>> 8)
  }
  return ~crc >>> 0
}

/** The zero is for the type checker alone: every index here is in range, and once compiled it costs nothing. */
function entry(tables: Int32Array, index: number): number {
  return tables[index] ?? 0
}

/** Table k holds, for every byte, its CRC followed by k zero bytes: 256 entries each, one after the other. */
function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    tables[byte] = crc
  }
  for (let index = 256; index < tables.length; index += 1) {
    const shorter = entry(tables, index - 256)
    tables[index] = entry(tables, shorter & 0xff) ^ (shorter >>> 8)
  }
  return tables
}
