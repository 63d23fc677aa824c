/**
 * nginx before Node processes, set up as its manual says for speed: a worker for each core, connections to the processes
 * kept alive, no access log. Everything of it is in a folder of its own, which goes with it.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startChild, until } from './children.ts'
import { accepts, freePort } from './free-port.ts'
import { pathOf } from './machine.ts'
import { removeFolder, temporaryFolder } from './temporary-folder.ts'

const START_DEADLINE_MS = 10_000
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

export interface Nginx extends AsyncDisposable {
  readonly pid: number
  readonly port: number
}

/**
 * Starts nginx on one port; `Host: siteN.test` goes to the N-th of the ports (from 1 on).
 *
 * @param root a folder that it serves by itself
 */
export async function startNginx(sitePorts: readonly number[], root?: string): Promise<Nginx> {
  const command = pathOf('nginx')
  if (command === undefined) throw new Error('nginx is not installed')
  await using stack = new AsyncDisposableStack()
  const folder = temporaryFolder('nginx')
  stack.defer(() => removeFolder(folder))
  const port = await freePort()
  const config = join(folder, 'nginx.conf')
  writeFileSync(config, configText(folder, port, sitePorts, root))
  const child = stack.use(await startChild(command, ['-c', config, '-p', folder, '-e', join(folder, 'error.log')]))
  await until('nginx to listen', child, START_DEADLINE_MS, () => accepts(port))
  const running = stack.move()
  return { pid: child.pid, port, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** What stands before `http` in a configuration. @param folder where it works */
export function nginxMain(folder: string): string {
  // As root, nginx would work as `nobody`, who may not enter the folder.
  const user = process.getuid?.() === 0 ? 'user root;\n' : ''
  return `${user}daemon off;
worker_processes auto;
pid ${folder}/nginx.pid;
events { worker_connections 4096; }`
}

function configText(folder: string, port: number, sitePorts: readonly number[], root: string | undefined): string {
  return `${nginxMain(folder)}
http {
  access_log off;
  server_names_hash_max_size 4096;
  keepalive_requests 1000000000;
${TEMPORARY.map((name) => `  ${name}_temp_path ${folder}/${name};`).join('\n')}
${sitePorts.map((sitePort, at) => siteText(at + 1, port, sitePort)).join('\n')}
${root === undefined ? '' : filesText(port, root)}
}
`
}

function filesText(port: number, root: string): string {
  return `  sendfile on;
  tcp_nopush on;
  types { text/html html; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${root};
  }`
}

/** `keepalive_requests` is 1,000 by itself: a new connection after so many requests would cost nginx some speed. */
function siteText(site: number, port: number, sitePort: number): string {
  return `  upstream site${site} {
    server 127.0.0.1:${sitePort};
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port}${site === 1 ? ' backlog=4096' : ''};
    server_name site${site}.test;
    location / {
      proxy_pass http://site${site};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }`
}
