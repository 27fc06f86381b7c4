/** No token could be had. `cause` is what went wrong: a refusal, an error of the network, an answer that cannot be right. */
export class TokenFault extends Error {
  override readonly name = 'TokenFault'
  /** Who was asked, or would have been: a host name. */
  readonly asked: string
  readonly kind: 'file' | 'instance'

  constructor(
    asked: string,
    { kind, cause }: { readonly kind: 'file' | 'instance'; readonly cause: unknown },
  ) {
    super(`no token from ${asked}`, { cause })
    this.asked = asked
    this.kind = kind
  }
}
