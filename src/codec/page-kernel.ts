import assert from 'node:assert/strict'
import { pageKernelWasm } from './page-kernel-wasm.ts'

/** Bytes in a block: a page of PostgreSQL, and what one block hash covers. */
export const blockSize = 8192

interface PageKernelOptions {
  /** How much file content fits. A multiple of the block size; 1 MiB by default. */
  readonly inputBytes?: number
  /** Seeds the block hashes; 64 bits. */
  readonly seed: bigint
}

/** A part of a kernel's input. Need not be aligned: small files share the input. */
interface InputSpan {
  readonly offset: number
  readonly length: number
}

/**
 * Hashes and checks blocks at memory speed. Has a memory of its own and of fixed size; one for each worker. The first
 * use compiles the module (about a millisecond).
 */
export interface PageKernel {
  /** Read file content into this. Begins at a memory page, as direct I/O wants it. */
  readonly input: Uint8Array<ArrayBuffer>
  /**
   * XXH64 of each block in a span of the input, the last of which may be shorter, into `out`. Gives the number of
   * hashes.
   */
  hashBlocks(span: InputSpan, out: BigUint64Array): number
  /**
   * The indexes of the pages, among the whole pages in a span of the input, whose checksum is wrong; the first page is block `firstBlock` of its relation fork. A page of nothing but zeroes is good, one that only looks
   * new (pd_upper is 0) is bad. A shorter page at the end has no checksum and is not looked at.
   */
  checkPages(span: InputSpan, firstBlock: number): readonly number[]
}

/** The functions of page-kernel.wat. */
interface KernelExports {
  readonly hash_blocks: (input: number, length: number, seed: bigint) => void
  readonly check_pages: (input: number, count: number, firstBlock: number) => number
}

interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** The part of the global that is used here: Node's types leave it out. */
declare const WebAssembly: {
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => WasmMemory
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: WasmMemory } },
  ) => { readonly exports: KernelExports }
}

const wasmPage = 65_536
/** The first memory page holds the results; the input begins behind it. */
const inputOffset = wasmPage
const largestInputBytes = (wasmPage / BigUint64Array.BYTES_PER_ELEMENT) * blockSize

export function createPageKernel({ inputBytes = 1024 * 1024, seed }: PageKernelOptions): PageKernel {
  assert.ok(inputBytes > 0 && inputBytes % blockSize === 0 && inputBytes <= largestInputBytes)
  const blockCount = inputBytes / blockSize
  const pageCount = Math.ceil((inputOffset + inputBytes) / wasmPage)
  const memory = new WebAssembly.Memory({ initial: pageCount, maximum: pageCount })
  const exported = instantiate(memory)
  const hashes = new BigUint64Array(memory.buffer, 0, blockCount)
  const badPages = new Uint32Array(memory.buffer, 0, blockCount)
  return {
    input: new Uint8Array(memory.buffer, inputOffset, inputBytes),
    hashBlocks({ offset, length }, out) {
      const count = Math.ceil(length / blockSize)
      assert.ok(offset + length <= inputBytes && count <= out.length)
      exported.hash_blocks(inputOffset + offset, length, seed)
      out.set(hashes.subarray(0, count))
      return count
    },
    checkPages({ offset, length }, firstBlock) {
      assert.ok(offset + length <= inputBytes)
      const count = Math.floor(length / blockSize)
      const badCount = exported.check_pages(inputOffset + offset, count, firstBlock)
      return [...badPages.subarray(0, badCount)]
    },
  }
}

let compiled: object | undefined

function instantiate(memory: WasmMemory): KernelExports {
  compiled ??= new WebAssembly.Module(Buffer.from(pageKernelWasm, 'base64'))
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports
}
