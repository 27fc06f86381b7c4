import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { VersionDocument } from '../../api/version-document.ts'
import type { CommandEnvironment } from '../command-environment.ts'

/** `version`: which Holdfast this is, and what it runs on. */
export function registerVersion(program: Command, environment: CommandEnvironment): void {
  program
    .command('version')
    .description('print the version')
    .action(() => {
      const document: VersionDocument = {
        version: 1,
        holdfast: readPackageVersion(),
        node: process.versions.node,
        platform: `${process.platform} ${process.arch}`,
      }
      environment.answer({
        document,
        text: () => `holdfast ${document.holdfast} (Node ${document.node}, ${document.platform})\n`,
      })
    })
}

function readPackageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  const description: unknown = JSON.parse(text)
  assert(description !== null && typeof description === 'object' && 'version' in description)
  return String(description.version)
}
