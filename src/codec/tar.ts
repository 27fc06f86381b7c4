/*
 * Files one after the other as tar has them: POSIX.1-1988 "ustar", and the base-256 sizes of GNU tar for those of 8 GiB and
 * more. Only what a folder of plain files needs: no folders, links, owners or times.
 */
import { OperationError } from '../domain/operation-error.ts'

/** A plain file in it. */
export interface TarEntry {
  /** Of letters, digits, "_", "-" and "."; it begins with none of the two last. At most 99 characters. */
  readonly name: string
  readonly sizeBytes: number
}

const blockBytes = 512
const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,98}$/
/** Eleven octal digits. */
const mostOctalBytes = 8 ** 11 - 1
const checksumAt = 148
const magic = 'ustar\u000000'
const typeFile = 0x30

/** Whether a file of this name can be in it: nothing that leads out of a folder. */
export function isTarName(name: string): boolean {
  return namePattern.test(name)
}

/** What stands before the bytes of a file. */
export function tarHeader({ name, sizeBytes }: TarEntry): Uint8Array {
  if (!isTarName(name)) throw new Error(`"${name}" is no name for a file in a tar archive`)
  const header = Buffer.alloc(blockBytes)
  header.write(name, 0, 'latin1')
  header.write('0000600\0', 100, 'latin1')
  header.write('0000000\0', 108, 'latin1')
  header.write('0000000\0', 116, 'latin1')
  writeSize(header, sizeBytes)
  header.write('00000000000\0', 136, 'latin1')
  header[156] = typeFile
  header.write(magic, 257, 'latin1')
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, checksumAt, 'latin1')
  return header
}

/** What stands behind the bytes of a file of this size. */
export function tarPadding(sizeBytes: number): Uint8Array {
  return new Uint8Array((blockBytes - (sizeBytes % blockBytes)) % blockBytes)
}

/** What stands at the end of all. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * blockBytes)

/** A part of a file, or, with no bytes, its beginning. */
export interface TarPiece {
  readonly entry: TarEntry
  readonly bytes: Uint8Array | undefined
}

/**
 * The files in a stream of tar, piece by piece: each begins with a piece without bytes. Throws `damaged` for anything that
 * `tarHeader` does not write, and for an end before the end.
 */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TarPiece, void> {
  const reader = new TarReader()
  for await (const chunk of chunks) yield* reader.add(chunk)
  if (!reader.isEnded) throw damaged('it ends in its midst')
}

/** Where a reading of tar is: in a header, in the bytes of a file, in what fills its last block, or behind all. */
class TarReader {
  readonly #header = Buffer.alloc(blockBytes)
  #headerBytes = 0
  #entry: TarEntry | undefined
  #bytesLeft = 0
  #paddingLeft = 0
  #isEnded = false

  get isEnded(): boolean {
    return this.#isEnded
  }

  *add(chunk: Uint8Array): Generator<TarPiece, void> {
    for (let rest = chunk; rest.length > 0;) {
      if (this.#isEnded) return requireZeros(rest)
      if (this.#entry !== undefined && this.#bytesLeft > 0) {
        const bytes = rest.subarray(0, this.#bytesLeft)
        this.#bytesLeft -= bytes.length
        rest = rest.subarray(bytes.length)
        yield { entry: this.#entry, bytes }
      } else if (this.#paddingLeft > 0) {
        const skipped = Math.min(this.#paddingLeft, rest.length)
        this.#paddingLeft -= skipped
        rest = rest.subarray(skipped)
      } else {
        const taken = rest.subarray(0, blockBytes - this.#headerBytes)
        rest = rest.subarray(taken.length)
        const entry = this.#addToHeader(taken)
        if (entry !== undefined) yield { entry, bytes: undefined }
      }
    }
  }

  /** The file that begins, when its header is whole. */
  #addToHeader(bytes: Uint8Array): TarEntry | undefined {
    this.#header.set(bytes, this.#headerBytes)
    this.#headerBytes += bytes.length
    if (this.#headerBytes < blockBytes) return undefined
    this.#headerBytes = 0
    const entry = parseHeader(this.#header)
    this.#entry = entry
    this.#isEnded = entry === undefined
    this.#bytesLeft = entry?.sizeBytes ?? 0
    this.#paddingLeft = tarPadding(this.#bytesLeft).length
    return entry
  }
}

function requireZeros(bytes: Uint8Array): void {
  if (bytes.some((byte) => byte !== 0)) throw damaged('something follows its end')
}

/** Undefined: the end of all. */
function parseHeader(header: Buffer): TarEntry | undefined {
  if (header.every((byte) => byte === 0)) return undefined
  const text = (from: number, to: number): string => {
    const field = header.toString('latin1', from, to)
    return field.includes('\0') ? field.slice(0, field.indexOf('\0')) : field
  }
  if (header.toString('latin1', 257, 257 + magic.length) !== magic)
    throw damaged('it has no header of a file')
  if (Number.parseInt(text(checksumAt, checksumAt + 8), 8) !== checksumOf(header))
    throw damaged('the checksum of a header is wrong')
  const name = text(0, 100)
  if (header[156] !== typeFile || !isTarName(name)) throw damaged('it holds something else than plain files')
  return { name, sizeBytes: readSize(header) }
}

function writeSize(header: Buffer, sizeBytes: number): void {
  if (sizeBytes <= mostOctalBytes) {
    header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
    return
  }
  header[124] = 0x80
  header.writeBigUInt64BE(BigInt(sizeBytes), 128)
}

function readSize(header: Buffer): number {
  const size =
    header[124] === 0x80
      ? Number(header.readBigUInt64BE(128))
      : Number.parseInt(header.toString('latin1', 124, 135), 8)
  if (Number.isSafeInteger(size)) return size
  throw damaged('a file in it has no size')
}

/** The sum of all bytes, with the checksum itself taken for spaces. */
function checksumOf(header: Uint8Array): number {
  let sum = 8 * 0x20
  for (let at = 0; at < blockBytes; at += 1)
    if (at < checksumAt || at >= checksumAt + 8) sum += header[at] ?? 0
  return sum
}

function damaged(found: string): OperationError {
  return new OperationError('damaged', `reading a dump of the directory format: ${found}`, {
    hint: 'Load another dump, or this one from another repository, and take a new one.',
  })
}
