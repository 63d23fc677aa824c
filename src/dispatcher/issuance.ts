/**
 * Keeps the certificates that come by ACME in step with the sites in force.
 */
import type { CertificateManager, WantedCertificate } from '../acme/manager.ts'
import type { Log } from '../core/log.ts'
import type { Hosting } from './hosting.ts'

/**
 * From now on every change of the sites is passed on.
 *
 * @returns resolves when the certificates that are on the disk are in use
 */
export async function keepCertified(hosting: Hosting, issuance: CertificateManager, log: Log): Promise<void> {
  const follow = (): Promise<void> => issuance.update(wantedBy(hosting))
  hosting.onChange = () => {
    follow().catch((error: unknown) => log.error({ err: error }, 'certificates could not be brought in step'))
  }
  await follow()
}

function wantedBy({ configs }: Hosting): WantedCertificate[] {
  return configs.flatMap(({ name, acme }) => (acme === undefined ? [] : [{ site: name, names: acme.names }]))
}
