/**
 * Certificates for tests, signed by themselves, and made by openssl.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyPair } from '../../src/core/key-pair.ts'

/** @param days of its life, from now on; negative: it is over already */
export function makePair(names: readonly string[], days = 90): KeyPair {
  const dir = mkdtempSync(join(tmpdir(), 'vhostel-pair-'))
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=test'],
    ...['-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`, '-days', String(days)],
    ...['-keyout', join(dir, 'key'), '-out', join(dir, 'cert')],
  ])
  if (made.status !== 0) throw new Error(`openssl (apt-get install -y openssl): ${made.stderr ?? made.error}`)
  const pair = { cert: readFileSync(join(dir, 'cert'), 'utf8'), key: readFileSync(join(dir, 'key'), 'utf8') }
  rmSync(dir, { recursive: true })
  return pair
}
