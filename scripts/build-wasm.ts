// Builds the WebAssembly kernels: src/FOLDER/NAME.wat into NAME-wasm.ts beside it, which holds the module in base64.
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import loadWabt from 'wabt'

const sources = join(import.meta.dirname, '..', 'src')
const kernels = ['codec/page-kernel', 'wal/record-kernel']

/** The source text of the module `NAME-wasm.ts` of a kernel, which is named with its folder. */
export async function buildKernel(kernel: string): Promise<string> {
  const wabt = await loadWabt()
  const name = basename(kernel)
  // As a string: of a Buffer, wabt takes the whole pool that it lies in.
  const source = readFileSync(join(sources, `${kernel}.wat`), 'utf8')
  const parsed = wabt.parseWat(`${name}.wat`, source, { simd: true })
  parsed.validate()
  const { buffer } = parsed.toBinary({})
  parsed.destroy()
  const constant = `${name.replaceAll(/-(\w)/g, (_match, letter: string) => letter.toUpperCase())}Wasm`
  return [
    `// Built by scripts/build-wasm.ts from ${name}.wat: change that instead.`,
    `export const ${constant} =`,
    `  '${Buffer.from(buffer).toString('base64')}'`,
    '',
  ].join('\n')
}

if (import.meta.main) {
  for (const kernel of kernels) {
    writeFileSync(join(sources, `${kernel}-wasm.ts`), await buildKernel(kernel))
  }
}
