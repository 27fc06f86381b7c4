import { createHash } from 'node:crypto'

/** Rows with digests, numbers and words: about as compressible as real tables are. Always the same. */
export function tableContent(bytes: number): Buffer {
  const rows: string[] = []
  for (let row = 0, length = 0; length < bytes; row += 1) {
    const digest = createHash('md5').update(String(row)).digest('hex')
    const text = `${row}\t${digest}\t${(row * 7919) % 100_003}.50\t2026-03-${(row % 28) + 1}\tuser${row}@example.com\n`
    rows.push(text)
    length += text.length
  }
  return Buffer.from(rows.join('')).subarray(0, bytes)
}
