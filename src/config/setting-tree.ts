/** A section of the configuration as it was written: nothing is known yet about what is in it. */
export type SettingTree = Readonly<Record<string, unknown>>

/** `value` as a section; an empty one when it is something else. */
export function section(value: unknown): SettingTree {
  return isSection(value) ? value : {}
}

export function isSection(value: unknown): value is SettingTree {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** What is written at `path`; undefined when nothing is. */
export function valueAt(tree: unknown, path: readonly (string | number)[]): unknown {
  let value = tree
  for (const segment of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, segment)) return undefined
    value = Reflect.get(value, segment)
  }
  return value
}

/** A copy of the tree with `value` at `path`. What stood in the way is replaced; the tree itself stays as it is. */
export function withValueAt(tree: SettingTree, path: readonly string[], value: unknown): SettingTree {
  const [key, ...rest] = path
  if (key === undefined) return tree
  return { ...tree, [key]: rest.length === 0 ? value : withValueAt(section(tree[key]), rest, value) }
}
