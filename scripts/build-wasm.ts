// Builds the WebAssembly kernels: src/codec/NAME.wat into src/codec/NAME-wasm.ts, which holds the module in base64.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import loadWabt from 'wabt'

const folder = join(import.meta.dirname, '..', 'src', 'codec')
const kernels = ['page-kernel']

/** The source text of the module `NAME-wasm.ts` of a kernel. */
export async function buildKernel(name: string): Promise<string> {
  const wabt = await loadWabt()
  // As a string: of a Buffer, wabt takes the whole pool that it lies in.
  const source = readFileSync(join(folder, `${name}.wat`), 'utf8')
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
  for (const name of kernels) writeFileSync(join(folder, `${name}-wasm.ts`), await buildKernel(name))
}
