/**
 * What other servers and process managers call what we have: nginx, Apache, Caddy, Passenger, uWSGI, PM2, systemd, Moya. Somebody
 * who moves in writes their words first, and none of them is near enough to ours to be taken for a slip of the finger.
 *
 * Invariants, held by test/config/foreign-words.test.ts: each `[section] key` in a text is one of ours, all of one text
 * are of one file, and no word is a key of ours.
 */

const DOMAINS = '[site] domains'
const ROOT = '[site] root'
const PROGRAM = '[site] command'
const PYTHON = '[site] command, with a server for it such as gunicorn -b unix:$SOCKET app:application'
const NO_FASTCGI = 'FastCGI and uwsgi are not spoken; [site] command or [site] upstream names a server that speaks HTTP'
const POOL_SIZE = '[pool] processes and [pool] threads, for all sites together'
const ERROR_PAGES = '[errors], such as 404 = errors/404.html'
const REDIRECT = '[redirect] to, or [site] canonical for one name of several'
const BODY = '[limits] max_body'
const TLS = '[site] tls = auto, or [site] certificate and [site] key'
const COMPRESSION = '[site] compress, which is on already'
const HEADERS = '[headers], such as X-Frame-Options = DENY'
const FORWARDED =
  'upstreams get X-Forwarded-For, -Proto and -Host already; [proxy] host_header says which Host they get'
const RATE = '[door] rate, such as 10/s burst 20'
const LOG = '[log] error, for what the site writes'
const ENVIRONMENT = '[env], such as NAME = value'
const NOTHING_TO_SET = 'nothing like it has to be set'
const RESTARTS = 'what ends is started again by itself, with growing pauses'
const OPEN_FILES = 'the system limits open files: LimitNOFILE of the systemd unit, or ulimit -n'
const NO_PORT = 'no port is needed: [site] domains tells the sites apart'
const FOLDERS = '[site] root, or [static] /path = folder for files at a path'

/** By word, in any spelling: server_name is ServerName as well, and server-name. */
const WORDS: Readonly<Record<string, string>> = {
  // names
  server_name: DOMAINS,
  server_alias: DOMAINS,
  server_names: DOMAINS,
  host: DOMAINS,
  hosts: DOMAINS,
  hostname: DOMAINS,
  hostnames: DOMAINS,
  virtual_host: DOMAINS,
  aliases: DOMAINS,
  alias: '[site] domains for another name, [static] /path = folder for files at a path',
  name: 'the name of a site is that of its file; what it answers for is [site] domains',
  default_server: '[server] default_site',
  port: NO_PORT,
  http_socket: NO_PORT,
  listen_port: NO_PORT,
  // files
  document_root: ROOT,
  doc_root: ROOT,
  root_dir: ROOT,
  web_root: ROOT,
  app_root: ROOT,
  passenger_app_root: ROOT,
  cwd: ROOT,
  chdir: ROOT,
  working_dir: ROOT,
  working_directory: ROOT,
  location: FOLDERS,
  public: FOLDERS,
  public_dir: FOLDERS,
  static_dir: FOLDERS,
  static_root: FOLDERS,
  static_map: '[static] /path = folder',
  file_server: '[site] root alone: what has nothing else that answers is a folder of files',
  directory_index: '[static] index',
  try_files: '[static] try',
  fallback_resource: '[static] try',
  autoindex: '[static] listing',
  browse: '[static] listing',
  expires: '[static] cache_control, or [static] immutable for files that never change',
  allow_override: 'there are no .htaccess files: all settings of a site are in this one',
  gzip_static: '[static] precompressed, which is on already',
  // programs
  script: '[site] module',
  main: '[site] module',
  entry: '[site] module',
  entry_point: '[site] module',
  startup_file: '[site] module',
  passenger_startup_file: '[site] module',
  passenger_enabled: '[site] module or [site] command: nothing has to be switched on',
  module_type: '[site] type, for what the module exports; ES modules and CommonJS are told apart without it',
  interpreter: PROGRAM,
  node_args: PROGRAM,
  exec: PROGRAM,
  exec_start: PROGRAM,
  start_command: PROGRAM,
  wsgi_file: PYTHON,
  wsgi_daemon_process: PYTHON,
  wsgi_script_alias: PYTHON,
  wsgi: PYTHON,
  wsgi_process_group: PYTHON,
  wsgi_application_group: PYTHON,
  passenger_python: PYTHON,
  virtualenv: PYTHON,
  socket: 'a program listens on $SOCKET of [site] command; one that runs already is an [site] upstream',
  master: 'there is always one: the processes of all sites are watched and started again',
  uid: '[site] user',
  run_as: '[site] user',
  passenger_user: '[site] user',
  gid: '[site] group',
  passenger_group: '[site] group',
  environment: ENVIRONMENT,
  env_production: ENVIRONMENT,
  env_development: ENVIRONMENT,
  environment_file: '[site] env_file',
  set_env: ENVIRONMENT,
  passenger_env_var: ENVIRONMENT,
  ignore_watch: '[site] watch follows the files that were loaded, and no others',
  autorestart: 'what ends is always started again',
  max_restarts: RESTARTS,
  restart_delay: RESTARTS,
  min_uptime: RESTARTS,
  exp_backoff_restart_delay: RESTARTS,
  wait_ready: 'a program is ready when it listens; [limits] start_timeout says how long that may take',
  // how many, how long
  instances: POOL_SIZE,
  exec_mode: POOL_SIZE,
  workers: POOL_SIZE,
  worker_processes: POOL_SIZE,
  worker_connections: OPEN_FILES,
  worker_rlimit_nofile: OPEN_FILES,
  passenger_max_pool_size: POOL_SIZE,
  passenger_max_instances: POOL_SIZE,
  passenger_min_instances: '[site] preload = yes',
  passenger_pool_idle_time: '[site] idle',
  passenger_max_request_queue_size: '[limits] queue',
  passenger_max_requests: '[pool] max_requests',
  passenger_start_timeout: '[limits] start_timeout',
  passenger_base_uri: 'a site has whole host names: [site] domains',
  listen_timeout: '[limits] start_timeout',
  kill_timeout: '[limits] stop_timeout',
  cron_restart: '[pool] max_age',
  max_memory_restart: '[pool] thread_memory or [pool] process_memory, for all sites of a pool',
  reload_on_rss: '[pool] thread_memory or [pool] process_memory, for all sites of a pool',
  harakiri:
    '[limits] timeout for the answer, hard_limit for code that blocks its thread, hang_timeout for a program that does nothing any more',
  request_timeout: '[limits] timeout',
  client_max_body_size: BODY,
  limit_request_body: BODY,
  max_body_size: BODY,
  body_limit: BODY,
  request_body: BODY,
  client_body_timeout: '[limits] body_timeout',
  client_header_timeout: '[server] header_timeout',
  keepalive_timeout: '[server] idle_timeout',
  large_client_header_buffers: '[server] header_size and [server] header_count',
  // other servers
  proxy_pass: '[site] upstream',
  reverse_proxy: '[site] upstream',
  proxy_to: '[site] upstream',
  backend: '[site] upstream',
  proxy_pass_match: '[site] upstream, with [proxy] paths for what goes there',
  proxy_http_version: 'HTTP/1.1 with kept connections is what upstreams get already',
  proxy_redirect: "upstreams know the visitor's host, so their redirects are right as they are",
  proxy_pass_reverse: "upstreams know the visitor's host, so their redirects are right as they are",
  proxy_preserve_host: FORWARDED,
  proxy_ssl_verify: '[proxy] tls_verify',
  proxy_ssl_name: '[proxy] tls_name',
  proxy_ssl_trusted_certificate: '[proxy] tls_ca',
  ip_hash: 'the least busy [site] upstream gets the next request; no visitor belongs to one of them',
  least_conn: 'the least busy [site] upstream gets the next request already',
  fastcgi_pass: NO_FASTCGI,
  fastcgi_param: NO_FASTCGI,
  php_value: NO_FASTCGI,
  php_admin_value: NO_FASTCGI,
  set_handler: NO_FASTCGI,
  php_fastcgi: NO_FASTCGI,
  uwsgi_pass: NO_FASTCGI,
  proxy_set_header: FORWARDED,
  request_header: FORWARDED,
  proxy_read_timeout: '[limits] timeout until the answer begins, [proxy] read_timeout for pauses within it',
  proxy_connect_timeout: '[proxy] connect_timeout',
  proxy_buffering: '[proxy] buffer',
  proxy_cache: '[site] cache',
  set_real_ip_from: '[server] trusted_proxies',
  real_ip_header: '[server] trusted_proxies',
  trust_proxy: '[server] trusted_proxies',
  // answers
  return: REDIRECT,
  rewrite: `${REDIRECT}; what else is rewritten is up to the module`,
  rewrite_rule: `${REDIRECT}; what else is rewritten is up to the module`,
  rewrite_cond: `${REDIRECT}; what else is rewritten is up to the module`,
  rewrite_engine: `${REDIRECT}; what else is rewritten is up to the module`,
  redirect_match: REDIRECT,
  redirect_permanent: REDIRECT,
  redir: REDIRECT,
  redirect_to: REDIRECT,
  redirect_code: '[redirect] status',
  status_code: '[redirect] status',
  code: '[redirect] status',
  error_page: ERROR_PAGES,
  error_document: ERROR_PAGES,
  handle_errors: ERROR_PAGES,
  add_header: HEADERS,
  header: HEADERS,
  proxy_hide_header: '[headers], with an empty value',
  gzip: COMPRESSION,
  gzip_types: COMPRESSION,
  gzip_min_length: COMPRESSION,
  brotli: COMPRESSION,
  encode: COMPRESSION,
  compression: COMPRESSION,
  http2: 'it is on already, for every site with TLS',
  websocket: 'they work without a setting',
  websockets: 'they work without a setting',
  server_tokens: NOTHING_TO_SET,
  sendfile: NOTHING_TO_SET,
  tcp_nopush: NOTHING_TO_SET,
  // TLS
  ssl: TLS,
  ssl_engine: TLS,
  ssl_protocols: NOTHING_TO_SET,
  ssl_ciphers: NOTHING_TO_SET,
  ssl_prefer_server_ciphers: NOTHING_TO_SET,
  ssl_session_cache: NOTHING_TO_SET,
  ssl_session_timeout: NOTHING_TO_SET,
  ssl_dhparam: NOTHING_TO_SET,
  https: TLS,
  letsencrypt: TLS,
  tls_certificate: '[site] certificate',
  ssl_certificate: '[site] certificate',
  ssl_certificate_file: '[site] certificate',
  cert: '[site] certificate',
  tls_key: '[site] key',
  ssl_key: '[site] key',
  ssl_certificate_key: '[site] key',
  ssl_certificate_key_file: '[site] key',
  force_https: '[site] https_only',
  ssl_redirect: '[site] https_only',
  // who comes in
  auth_basic: '[door] realm, with the passwords in [door] auth',
  auth_name: '[door] realm, with the passwords in [door] auth',
  auth_basic_user_file: '[door] auth',
  auth_user_file: '[door] auth',
  basic_auth: '[door] auth',
  htpasswd: '[door] auth',
  require: '[door] allow, or [door] auth for passwords',
  remote_ip: '[door] allow',
  limit_req: RATE,
  limit_req_zone: RATE,
  rate_limit: RATE,
  limit_conn: '[server] max_connections_per_address',
  // logs
  access_log: '[log] access',
  custom_log: '[log] access',
  log_format: '[log] format',
  log_date_format: 'every line of a log has its time',
  error_log: LOG,
  error_file: LOG,
  out_file: LOG,
  log_file: LOG,
  logto: LOG,
}

const bySpelling = new Map(Object.entries(WORDS).map(([word, text]) => [plain(word), text]))

/** The words of other servers that are known, in one spelling. */
export const FOREIGN_WORDS: readonly string[] = Object.keys(WORDS)

/** What a key or section of another server is here, in words that have our keys as `[section] key`; undefined for any other. */
export function foreignWord(word: string): string | undefined {
  return bySpelling.get(plain(word))
}

function plain(word: string): string {
  return word.toLowerCase().replace(/[-_]/g, '')
}
