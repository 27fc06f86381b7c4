/** What secrets look like in texts that others wrote: server messages, causes and stacks. */
const secrets: readonly (readonly [RegExp, string])[] = [
  [
    /((?:password|passphrase|secret|token|access_key|api_key)\w*\s*=\s*)(?:'(?:[^'\\]|\\.)*'|"[^"]*"|[^\s&'"]+)/gi,
    '$1***',
  ],
  [/((?:authorization|x-amz-security-token|set-cookie|cookie)["']?\s*:\s*)[^\n]+/gi, '$1***'],
  [/(:\/\/[^\s/:@]*:)[^\s@]+(?=@)/g, '$1***'],
]

/** Replaces secrets by `***`. The last line of defence: whoever writes a message leaves them out in the first place. */
export function redact(text: string): string {
  return secrets.reduce((redacted, [pattern, replacement]) => redacted.replaceAll(pattern, replacement), text)
}
