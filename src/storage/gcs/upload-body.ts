import { freshName } from '../../platform/random.ts'

/** `multipart/related` of two parts: what the object is, as JSON, and its bytes, which are not copied. */
export function uploadBody(
  resource: Readonly<Record<string, unknown>>,
  bytes: Uint8Array,
): { readonly contentType: string; readonly parts: readonly Uint8Array[] } {
  // Random, so that it is not in the bytes.
  const boundary = freshName()
  const head = [
    `--${boundary}`,
    'content-type: application/json; charset=utf-8',
    '',
    JSON.stringify(resource),
    `--${boundary}`,
    'content-type: application/octet-stream',
    '',
    '',
  ].join('\r\n')
  return {
    contentType: `multipart/related; boundary=${boundary}`,
    parts: [Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)],
  }
}
