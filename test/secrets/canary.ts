import { readdirSync, readFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'

/** A secret that nothing else looks like. */
export function makeCanary(): string {
  return randomBytes(24).toString('base64').replaceAll(/[+/=]/g, 'x')
}

/** The forms in which a secret could show: as it is, encoded, and its ends alone (RULES 4.2). */
export function formsOf(canary: string): readonly string[] {
  const bytes = Buffer.from(canary)
  return [
    canary,
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    bytes.toString('hex'),
    [...bytes].join(','),
    canary.slice(0, 8),
    canary.slice(-8),
  ]
}

/** Looks at the arguments of every process of the machine, again and again, until it is disposed. */
export class ArgumentWatch implements Disposable {
  readonly #forms: readonly string[]
  readonly #timer: NodeJS.Timeout
  readonly found = new Set<string>()
  lookCount = 0

  constructor(canaries: readonly string[]) {
    this.#forms = canaries.flatMap((canary) => formsOf(canary))
    this.#timer = setInterval(() => this.look(), 5)
  }

  look(): void {
    this.lookCount += 1
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue
      const line = argumentsOf(name)
      if (this.#forms.some((form) => line.includes(form))) this.found.add(line.replaceAll('\0', ' '))
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

function argumentsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return '' // it has just ended
  }
}
