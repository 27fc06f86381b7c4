/** The lines of a stream, without their ends, and each byte as one character (latin1): what they are encoded in does not matter. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  let begun = ''
  for await (const chunk of chunks) {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')
    const lines = text.split('\n')
    lines[0] = begun + (lines[0] ?? '')
    begun = lines.pop() ?? ''
    yield* lines
  }
  if (begun !== '') yield begun
}
