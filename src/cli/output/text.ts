import { styleText } from 'node:util'
import type { Environment } from '../../platform/environment.ts'

/** Where text goes: standard output, standard error, or what a test puts in their place. */
export interface OutputStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

type Emphasis = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** Emphasises text where that is wanted; elsewhere gives it back as it is. */
export type Style = (emphasis: Emphasis, text: string) => string

export const plain: Style = (_, text) => text

const coloured: Style = (emphasis, text) => styleText(emphasis, text, { validateStream: false })

/** Colours are for terminals that can and people who want them (https://no-color.org). */
export function chooseStyle(stream: OutputStream, isAllowed: boolean, variables: Environment): Style {
  const isRefused = (variables['NO_COLOR'] ?? '') !== '' || variables['TERM'] === 'dumb'
  return isAllowed && !isRefused && stream.isTTY === true ? coloured : plain
}

/** Foreign text without the characters that move a terminal's cursor, colour it or hide what is there. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (character) => {
    if (character === '\n') return character
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
}

const ageUnits = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const

/** How long ago, in the greatest unit that fits: `3 h ago`. */
export function formatAge(ageMs: number): string {
  const [unit, unitMs] = ageUnits.find(([, ms]) => ageMs >= ms) ?? ['s', 1000]
  const count = Math.floor(ageMs / unitMs)
  return count <= 0 ? 'just now' : `${count} ${unit} ago`
}
