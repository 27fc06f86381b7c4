declare const brand: unique symbol

/** A value that was checked once and is told apart by the compiler ever after. Made by a type guard, never by a cast. */
export type Brand<Value, Name extends string> = Value & { readonly [brand]: Name }
