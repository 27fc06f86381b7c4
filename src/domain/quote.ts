const longestQuote = 80

/** Foreign text for an error message: in double quotes, on one line, printable and never longer than a line. */
export function quote(text: string): string {
  const shown = text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text
  return JSON.stringify(shown).replace(/\p{C}/gu, escapeCharacter)
}

function escapeCharacter(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
