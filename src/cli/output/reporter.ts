import type { Clock, RunEvent } from '../../domain/run-context.ts'
import type { LogLevel } from '../global-options.ts'
import { describeProgress, drawProgress } from './progress-text.ts'
import type { Progress } from './progress-text.ts'
import { redact } from './redact.ts'
import { printable } from './text.ts'
import type { OutputStream, Style } from './text.ts'

export interface ReporterOptions {
  readonly stream: OutputStream
  readonly clock: Clock
  readonly level: LogLevel
  readonly style: Style
}

/** Tells the story of a run. `close` takes the progress bar away; nothing may be reported after it. */
export interface Reporter {
  report(event: RunEvent): void
  close(): void
}

/**
 * Writes notes, warnings and progress to a stream. On a terminal progress is one line that is drawn over and over; in a
 * log it is a line every ten seconds, so that work shorter than that leaves none.
 */
export function createReporter({ stream, clock, level, style }: ReporterOptions): Reporter {
  const display = stream.isTTY === true ? barOn(stream) : linesOn(stream)
  const showProgress = paced(display, clock)
  const tellsNotes = level === 'info' || level === 'debug'
  const writeLine = (line: string): void => {
    display.clear()
    stream.write(`${line}\n`)
  }

  return {
    report(event) {
      switch (event.kind) {
        case 'warning':
          if (level === 'error') return
          writeLine(`${style('yellow', 'warning:')} ${clean(event.message)}`)
          if (event.hint !== undefined) writeLine(`${style('cyan', 'hint:')} ${clean(event.hint)}`)
          return
        case 'note':
          if (tellsNotes) writeLine(clean(event.message))
          return
        case 'progress':
          if (tellsNotes) showProgress({ ...event, phase: clean(event.phase) })
      }
    },
    close() {
      display.clear()
    },
  }
}

interface ProgressDisplay {
  readonly intervalMs: number
  /** Whether a phase shows as soon as it begins, or only when it takes longer than the interval. */
  readonly showsBeginning: boolean
  show(event: Progress, elapsedMs: number): void
  clear(): void
}

const clearLine = '\r\u{1b}[2K'

/** Ten times a second: often enough to look alive and too seldom to cost anything. */
function barOn(stream: OutputStream): ProgressDisplay {
  let isShown = false
  return {
    intervalMs: 100,
    showsBeginning: true,
    show(event, elapsedMs) {
      // A line that is wider than the terminal would wrap and could not be drawn over.
      const line = drawProgress(event, elapsedMs).slice(0, Math.max(0, (stream.columns ?? 80) - 1))
      stream.write(clearLine + line)
      isShown = true
    },
    clear() {
      if (isShown) stream.write(clearLine)
      isShown = false
    },
  }
}

function linesOn(stream: OutputStream): ProgressDisplay {
  return {
    intervalMs: 10_000,
    showsBeginning: false,
    show(event, elapsedMs) {
      stream.write(`${describeProgress(event, elapsedMs)}\n`)
    },
    clear() {
      // Lines stay.
    },
  }
}

function paced(display: ProgressDisplay, clock: Clock): (event: Progress) => void {
  let phase = { name: '', startedAt: 0 }
  let lastShownAt = 0
  return (event) => {
    const now = clock.monotonic()
    const isBeginning = phase.name !== event.phase
    if (isBeginning) {
      phase = { name: event.phase, startedAt: now }
      lastShownAt = display.showsBeginning ? -Infinity : now
    }
    if (now - lastShownAt < display.intervalMs) return
    lastShownAt = now
    display.show(event, now - phase.startedAt)
  }
}

function clean(text: string): string {
  return printable(redact(text)).replaceAll('\n', ' ')
}
