/**
 * For the environment of a process that starts the tool: where Node keeps what it has compiled, when the run of all tests
 * has such a place. Thousands of starts then cost a third of the time. The home that the tests give the tool is nobody's
 * own, so the tool by itself keeps nothing.
 */
export function compileCache(): Readonly<Record<string, string>> {
  const folder = process.env['NODE_COMPILE_CACHE']
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder }
}
