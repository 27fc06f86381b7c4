/** For messages: a path's bytes as quoted text, with what would break a line made visible. */
export function printable(place: Uint8Array): string {
  return JSON.stringify(Buffer.from(place).toString())
}
