type CamelCase<Key extends string> = Key extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Key

/** `T` with its keys as the code writes them: `data-directory` becomes `dataDirectory`. */
export type CamelKeys<T> = {
  readonly [Key in keyof T as Key extends string ? CamelCase<Key> : Key]: T[Key]
}

/** Renames the keys of one object from the way YAML writes them to the way code does; values stay as they are. */
export function camelKeys<T extends object>(settings: T): CamelKeys<T> {
  const renamed = Object.fromEntries(
    Object.entries(settings).map(([key, value]: [string, unknown]) => [camelName(key), value]),
  )
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- CamelCase is this replacement in the type system
  return renamed as CamelKeys<T>
}

/** `data-directory` as `dataDirectory`. */
export function camelName(key: string): string {
  return key.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
