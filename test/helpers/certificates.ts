/**
 * Certificates for tests, made by openssl when they are wanted: a small key (P-256), good for a day unless said otherwise.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyPair } from '../../src/core/key-pair.ts'

/** @param more further arguments of `openssl req`, such as `-days 1` */
export function makePair(names: readonly string[], more: readonly string[] = []): KeyPair {
  const dir = mkdtempSync(join(tmpdir(), 'vh-pem-'))
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  const subject = [
    '-subj',
    `/CN=${names[0]}`,
    '-addext',
    `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`,
  ]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  try {
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Error('openssl is missing: apt-get install openssl')
    throw error
  } finally {
    rmSync(dir, { recursive: true })
  }
}
