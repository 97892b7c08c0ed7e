/** A real HTTPS server in the operator's place, that answers well or in every bad way there is. */

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Report } from '#contract';
import { CONTRACT_VERSION } from '#contract';
import { ensureTlsIdentity } from '../../../operator/tls/identity.ts';
import { INSTANCE } from './fixtures.ts';

/** How a request is answered; the body has been read. */
export type Behaviour = (response: ServerResponse, report: Report, request: IncomingMessage) => void;

export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly caFile: string;
  behaviour: Behaviour;
  readonly tokens: string[];
  /** Connections accepted. */
  connections: number;
  /** Cuts all connections that carry no request now. */
  closeIdle(): void;
}

export function acknowledge(response: ServerResponse, report: Report): void {
  respond(response, 200, {
    version: CONTRACT_VERSION,
    boot: report.boot,
    instance: INSTANCE,
    seq: report.seq,
    assignment: { targets: [], reportIntervalMs: 200 },
  });
}

export function respond(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

/**
 * @param tlsDir where its CA and certificate are kept, so that a restart has the same
 * @param port 0 for any
 */
export async function startReceiver(tlsDir: string, port = 0): Promise<Receiver> {
  const { cert, key } = await ensureTlsIdentity(tlsDir, [], Date.now());
  const receiver = { behaviour: acknowledge as Behaviour, tokens: [] as string[], connections: 0 };
  const server = createServer({ cert, key }, async (request, response) => {
    receiver.tokens.push(request.headers.authorization ?? '');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    receiver.behaviour(response, JSON.parse(Buffer.concat(chunks).toString()), request);
  });
  server.on('secureConnection', () => receiver.connections++);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const bound = (server.address() as AddressInfo).port;
  return Object.assign(receiver, {
    url: `https://127.0.0.1:${bound}`,
    port: bound,
    caFile: join(tlsDir, 'ca.crt'),
    closeIdle: () => server.closeIdleConnections(),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}
