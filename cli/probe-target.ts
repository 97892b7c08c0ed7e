/** What people write for a probe target: `10.0.0.1:80`, `[::1]:443`, `db:postgresql`, `http://web/`. */

import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { FinwaitError } from '#base/errors.ts';
import { hostPortText, parseHostPort } from '#base/host-port.ts';
import { parseIpAddress } from '../daemon/wire/address.ts';

export interface NamedTarget {
  /** `HOST:PORT`, the port as a number. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** What of the text was not used, and what the person may want instead. */
  readonly hint?: string;
}

const URL_FORM = /^([a-z][a-z0-9+.-]*):\/\/(?:[^@/?#]*@)?(\[[^\]]*\]|[^:/?#]*)(?::([^/?#]*))?([/?#].*)?$/i;
const SERVICE_FORM = /^(.*):([a-z][a-z0-9+._-]*)$/i;
const FORMS = 'give HOST:PORT, such as 10.0.0.1:80, [::1]:443, db.example:5432 or localhost:ssh';

/** @throws FinwaitError TARGET_INVALID */
export function parseTarget(text: string, portOf = servicePort): NamedTarget {
  const url = URL_FORM.exec(text);
  if (url !== null) return urlTarget(text, url, portOf);
  const service = SERVICE_FORM.exec(text);
  if (service !== null) {
    const [, host = '', name = ''] = service;
    const port = portOf(name);
    // `fe80::abcd` ends like a service; the plain form says what is wrong with it.
    if (port !== undefined) return named(text, `${host}:${port}`);
    if (!host.includes(':') || host.startsWith('[')) {
      throw invalid(text, `there is no service named ${JSON.stringify(name)}`, 'give the number of the port');
    }
  }
  return named(text, text);
}

function urlTarget(text: string, url: RegExpExecArray, portOf: typeof servicePort): NamedTarget {
  const [, scheme = '', host = '', port = '', path = ''] = url;
  const number = port === '' ? portOf(SCHEMES[scheme.toLowerCase()] ?? scheme.toLowerCase()) : port;
  if (number === undefined) {
    throw invalid(text, `the scheme ${scheme} has no port that finwait knows`, `write HOST:PORT`);
  }
  const target = named(text, `${host}:${number}`);
  const unused = /^[/?#]?$/.test(path) ? `${scheme}://` : `${scheme}:// and ${path}`;
  const request = `--send 'GET / HTTP/1.1\\r\\nHost: ${target.host}\\r\\nConnection: close\\r\\n\\r\\n'`;
  const send = scheme.toLowerCase() === 'http' ? `; for a request add ${request}` : '';
  return { ...target, hint: `${target.name} is probed with plain TCP; ${unused} is not used${send}` };
}

function named(given: string, text: string): NamedTarget {
  const parsed = parseHostPort(text);
  if (parsed.ok) {
    const { host, port } = parsed.value;
    const loopback = loopbackFor(host);
    if (loopback === undefined) return { name: hostPortText(host, port), host, port };
    const name = hostPortText(loopback, port);
    const hint = `${text} is where programs listen, no address to connect to; ${name} is probed`;
    return { name, host: loopback, port, hint };
  }
  throw invalid(given, parsed.reason, suggestion(text));
}

/** The loopback address for the unspecified one, which listeners show and nobody can connect to. RFC 1122 3.2.1.3 */
function loopbackFor(host: string): string | undefined {
  const address = parseIpAddress(host);
  if (!address.ok || address.value.bytes.some((byte) => byte !== 0)) return undefined;
  return address.value.family === 4 ? '127.0.0.1' : '::1';
}

/** What the text may have meant. */
function suggestion(text: string): string {
  if (/^[^:[\]\s]+$/.test(text)) return `give a port, too: ${text}:80 or ${text}:https`;
  const [, address = '', port] = /^(.+):(\d+)$/.exec(text) ?? [];
  if (isIPv6(address)) return `did you mean [${address}]:${port}?`;
  return isIPv6(text) ? `give a port, too: [${text}]:80 or [${text}]:https` : FORMS;
}

function invalid(text: string, reason: string, hint: string): FinwaitError {
  const why = /^(is|has) /.test(reason) ? reason : `is not a target: ${reason}`;
  return new FinwaitError('TARGET_INVALID', `${JSON.stringify(text)} ${why}`, hint);
}

/** Schemes whose service has another name. */
const SCHEMES: Readonly<Record<string, string>> = {
  ws: 'http',
  wss: 'https',
  postgres: 'postgresql',
};

/** For machines without /etc/services, which minimal images are. IANA service names */
const WELL_KNOWN: Readonly<Record<string, number>> = {
  ftp: 21,
  ssh: 22,
  telnet: 23,
  smtp: 25,
  domain: 53,
  http: 80,
  pop3: 110,
  imap2: 143,
  ldap: 389,
  https: 443,
  submission: 587,
  ldaps: 636,
  imaps: 993,
  pop3s: 995,
  mysql: 3306,
  postgresql: 5432,
  amqp: 5672,
  redis: 6379,
  mongodb: 27_017,
};

/** The TCP port of a service: services(5), or else one of the well-known ones. */
export function servicePort(name: string, file = '/etc/services'): number | undefined {
  let services = '';
  try {
    services = readFileSync(file, 'utf8');
  } catch {
    // The file is not everywhere.
  }
  for (const line of services.split('\n')) {
    const [first, port = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (port.endsWith('/tcp') && [first, ...aliases].includes(name)) return Number.parseInt(port, 10);
  }
  return Object.hasOwn(WELL_KNOWN, name) ? WELL_KNOWN[name] : undefined;
}
