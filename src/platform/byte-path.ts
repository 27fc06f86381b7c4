/**
 * A path of bytes held as Latin-1 text: one character a byte, so that any name survives, text functions work on it, and
 * the order of texts is the order of bytes.
 */
export type BytePath = string

export const toBytePath = (bytes: Uint8Array): BytePath => Buffer.from(bytes).toString('latin1')
export const fromBytePath = (path: BytePath): Buffer => Buffer.from(path, 'latin1')

/** Either may be empty. */
export const joinBytePath = (folder: BytePath, name: BytePath): BytePath =>
  folder === '' || name === '' ? folder + name : `${folder}/${name}`

/** For messages: quoted, with what would break a line made visible. */
export const showBytePath = (path: BytePath): string => JSON.stringify(fromBytePath(path).toString('utf8'))
