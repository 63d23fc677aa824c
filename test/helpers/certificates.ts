/**
 * Certificates for tests, made by openssl when they are wanted: a small key (P-256), signed by itself.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyPair } from '../../src/core/key-pair.ts'

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']

/** @param more further arguments of `openssl req` */
export function makePair(names: readonly string[], more: readonly string[] = []): KeyPair {
  return inFolder((path) => {
    const key = more.includes('-newkey') ? [] : CURVE
    openssl(['req', '-x509', ...key, ...subjectOf(names, path('key.pem')), '-out', path('cert.pem'), ...more])
  })
}

/** A pair whose certificate ran out yesterday. */
export function makeOldPair(names: readonly string[]): KeyPair {
  return inFolder((path) => {
    openssl(['req', ...CURVE, ...subjectOf(names, path('key.pem')), '-out', path('request.pem')])
    const signed = ['-req', '-in', path('request.pem'), '-signkey', path('key.pem'), '-out', path('cert.pem')]
    openssl(['x509', ...signed, '-days', '-1', '-copy_extensions', 'copy'])
  })
}

function subjectOf(names: readonly string[], key: string): string[] {
  const san = `subjectAltName=${names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`).join(',')}`
  return ['-nodes', '-keyout', key, '-subj', `/CN=${names[0]}`, '-addext', san]
}

function inFolder(make: (path: (name: string) => string) => void): KeyPair {
  const dir = mkdtempSync(join(tmpdir(), 'vh-pem-'))
  const read = (name: string): string => readFileSync(join(dir, name), 'utf8')
  try {
    make((name) => join(dir, name))
    return { cert: read('cert.pem'), key: read('key.pem') }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function openssl(args: readonly string[]): void {
  try {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw isMissing ? new Error('openssl is missing: apt-get install openssl') : error
  }
}
