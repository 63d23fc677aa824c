/**
 * Sites of which each has a certificate of its own, for the benches of TLS: site1.test and so on. The key (ECDSA P-256) is
 * the same for all, since making keys is not measured.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** Paths of what openssl made. */
export interface Certificates {
  key: string
  /** That of `siteN.test`, from 1 on. @returns its path */
  of(site: number): string
}

/** Makes so many certificates in a folder; 10 to 20 ms each. */
export function makeCertificates(folder: string, sites: number): Certificates {
  const key = join(folder, 'key.pem')
  const of = (site: number) => join(folder, `site${site}.test.pem`)
  execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key])
  for (let site = 1; site <= sites; site++) {
    const subject = ['-subj', `/CN=site${site}.test`, '-addext', `subjectAltName=DNS:site${site}.test`]
    execFileSync('openssl', ['req', '-x509', '-key', key, '-out', of(site), ...subject])
  }
  return { key, of }
}
