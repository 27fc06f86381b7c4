import { recordKernelWasm } from './record-kernel-wasm.ts'

/**
 * Checks the CRCs of records in a memory of its own, which grows as far as the longest record needs. The first use
 * compiles the module (about a millisecond).
 */
export class RecordKernel {
  readonly #memory = new WebAssembly.Memory({ initial: 1 + firstRoomBytes / wasmPage })
  readonly #exports: KernelExports
  #bytes: Uint8Array
  #view: DataView

  constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(recordKernelWasm, 'base64'))
    this.#exports = new WebAssembly.Instance(compiled, { env: { memory: this.#memory } }).exports
    this.#exports.build_tables()
    this.#bytes = new Uint8Array(this.#memory.buffer)
    this.#view = new DataView(this.#memory.buffer)
  }

  /** The memory. Records lie from `roomStart` on, at multiples of 8. Another one after `makeRoom`. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Of the memory. Another one after `makeRoom`. */
  get view(): DataView {
    return this.#view
  }

  /** Grows the memory so that there is room up to `end`, at least by doubling. */
  makeRoom(end: number): void {
    const { length } = this.#bytes
    if (end <= length) return
    this.#memory.grow(Math.ceil((Math.max(end, 2 * length) - length) / wasmPage))
    this.#bytes = new Uint8Array(this.#memory.buffer)
    this.#view = new DataView(this.#memory.buffer)
  }

  /**
   * Checks the records that follow each other from `start` on and are whole by `end`, until one is wrong. Gives where the
   * first one begins that is not whole, or has an impossible length or a wrong CRC.
   */
  checkRecords(start: number, end: number): number {
    return this.#exports.check_records(start, end) >>> 0
  }
}

const wasmPage = 65_536
/** The first memory page holds the tables. */
export const roomStart = wasmPage
const firstRoomBytes = wasmPage

/** The functions of record-kernel.wat. */
interface KernelExports {
  readonly build_tables: () => void
  readonly check_records: (start: number, end: number) => number
}

interface WasmMemory {
  readonly buffer: ArrayBuffer
  readonly grow: (pages: number) => number
}

/** The part of the global that is used here: Node's types leave it out. */
declare const WebAssembly: {
  readonly Memory: new (pages: { readonly initial: number }) => WasmMemory
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: WasmMemory } },
  ) => { readonly exports: KernelExports }
}

let compiled: object | undefined
/** One that nobody uses: each has a memory of its own, of which a process cannot have many thousands. */
let idle: RecordKernel | undefined
const keptBytes = 16 * wasmPage

/** What is in its memory is of no use any more. */
export function borrowKernel(): RecordKernel {
  const kernel = idle ?? new RecordKernel()
  idle = undefined
  return kernel
}

/** One that has grown for a very long record is left to be collected. */
export function returnKernel(kernel: RecordKernel): void {
  if (kernel.bytes.length <= keptBytes) idle = kernel
}
