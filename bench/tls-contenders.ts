/**
 * vhostel, nginx and Caddy with the same sites: each has a certificate and a folder with one file. Each runs in a folder of
 * its own, on one port of 127.0.0.1 for TLS, without an access log or a word to the network.
 *
 * Everything is as it comes, but what keeps a server off the network and what makes the work the same: TLS 1.2 and 1.3, no
 * HTTP/3.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Child } from './children.ts'
import { startChild } from './children.ts'
import { pathOf } from './machine.ts'
import { nginxMain } from './nginx.ts'
import type { Certificates } from './tls-certificates.ts'
import type { SiteFolder } from './vhostel.ts'

/** The sites that all of them serve. */
export interface TlsSites {
  count: number
  certificates: Certificates
  /** Holds `index.html`; the root of every site. */
  root: string
}

/** A server whose configuration is written. */
export interface TlsContender {
  name: string
  /** Starts it. It listens when it listens. */
  start(): Promise<Child>
}

/** Each site an INI of its own. @param command path of `bin/vhostel.js` */
export function vhostelTls(folder: SiteFolder, port: number, sites: TlsSites, command: string): TlsContender {
  const config = join(folder.path, 'vhostel.ini')
  writeFileSync(config, `[server]\nlisten = 127.0.0.1:0\nlisten_tls = 127.0.0.1:${port}\n`)
  for (const site of numbers(sites)) {
    folder.writeModule(site, 'index.html', { copyOf: join(sites.root, 'index.html') })
    const { key, of } = sites.certificates
    folder.writeIni(site, `kind = static\ncertificate = ${of(site)}\nkey = ${key}`)
    folder.enable(site)
  }
  const args = [command, 'serve', '--config', config]
  return { name: 'vhostel', start: () => startChild(process.execPath, args, { cwd: folder.path }) }
}

/** Each site a `server`; a worker for each core. */
export function nginxTls(folder: string, port: number, sites: TlsSites): TlsContender {
  const config = join(folder, 'nginx.conf')
  const servers = numbers(sites).map(
    (site) => `  server {
    listen 127.0.0.1:${port} ssl http2;
    server_name site${site}.test;
    ssl_certificate ${sites.certificates.of(site)};
    ssl_certificate_key ${sites.certificates.key};
    root ${sites.root};
  }`,
  )
  writeFileSync(
    config,
    `${nginxMain(folder)}
http {
  access_log off;
  server_names_hash_max_size 4096;
  ssl_protocols TLSv1.2 TLSv1.3;
${servers.join('\n')}
}
`,
  )
  const args = ['-c', config, '-p', folder, '-e', join(folder, 'error.log')]
  return { name: 'nginx', start: () => startChild(pathOf('nginx') ?? 'nginx', args) }
}

/** Each site a block; certificates by `tls`, so that it asks nobody for one. */
export function caddyTls(folder: string, port: number, sites: TlsSites): TlsContender {
  const config = join(folder, 'Caddyfile')
  const blocks = numbers(sites).map(
    (site) => `https://site${site}.test:${port} {
\ttls ${sites.certificates.of(site)} ${sites.certificates.key}
\troot * ${sites.root}
\tfile_server
}`,
  )
  writeFileSync(
    config,
    `{
\tadmin off
\tauto_https off
\tskip_install_trust
\tdefault_bind 127.0.0.1
\tstorage file_system ${folder}/storage
\tservers {
\t\tprotocols h1 h2
\t}
}
${blocks.join('\n')}
`,
  )
  const env = { HOME: folder, XDG_DATA_HOME: join(folder, 'data'), XDG_CONFIG_HOME: join(folder, 'config') }
  const args = ['run', '--config', config, '--adapter', 'caddyfile']
  return { name: 'Caddy', start: () => startChild(pathOf('caddy') ?? 'caddy', args, { cwd: folder, env }) }
}

/** The folder that all sites are served from. @returns its path */
export function makeRoot(folder: string): string {
  const root = join(folder, 'root')
  mkdirSync(root)
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>hello</title>\n')
  return root
}

function numbers({ count }: TlsSites): number[] {
  return Array.from({ length: count }, (_, at) => at + 1)
}
