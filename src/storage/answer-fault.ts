/** An answer that arrived and cannot be right: cut, of another range, or without what it must say. Asking again may help. */
export class AnswerFault extends Error {
  override readonly name = 'AnswerFault'
}
