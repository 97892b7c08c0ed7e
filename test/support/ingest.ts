/** The operator's ingest server on loopback with a certificate of its own, and raw ways to speak to it. */

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { createLogger } from '#base/log.ts';
import type { Report } from '#contract';
import { createFleet } from '../../operator/fleet/fleet.ts';
import { staticAuthenticator } from '../../operator/ingest/authenticator.ts';
import type { IntakeOptions } from '../../operator/ingest/intake.ts';
import { createIntake } from '../../operator/ingest/intake.ts';
import { createReceiver } from '../../operator/ingest/receiver.ts';
import type { IngestLimits } from '../../operator/ingest/server.ts';
import { createIngestServer } from '../../operator/ingest/server.ts';
import { ensureTlsIdentity } from '../../operator/tls/identity.ts';
import { makeTempDir } from './temp-dir.ts';

export const TOKEN = 'a-token-of-a-test-0123456789';

export interface Ingest extends AsyncDisposable {
  readonly port: number;
  readonly ca: Buffer;
  readonly counters: Readonly<Record<string, number>>;
  /** Reports that were taken, in order. */
  readonly received: readonly { readonly node: string; readonly report: Report }[];
  connect(): Promise<TLSSocket>;
  /** Sends text as it is, on a connection of its own, and reads until the server closes it. */
  raw(...parts: readonly (string | Uint8Array)[]): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** `error.code` of the body. */
  readonly code: string | undefined;
}

export async function startIngest(
  limits: Partial<IngestLimits> = {},
  intake: Partial<IntakeOptions> = {},
): Promise<Ingest> {
  await using cleanup = new AsyncDisposableStack();
  const dir = cleanup.use(await makeTempDir('ingest'));
  const tls = await ensureTlsIdentity(dir.path, [], Date.now());
  const ca = await readFile(tls.caFile);
  const received: { node: string; report: Report }[] = [];
  const assignmentOf = () => [];
  const receive = createReceiver({
    fleet: createFleet({ reportIntervalMs: 5000, assignmentOf }),
    telemetry: { recordProbe: async () => 'off', conditions: () => [] },
    instance: () => 'c1f6cb21-6a37-4c35-9d0a-6b3a0d5f8e02',
    reportIntervalMs: 5000,
    assignmentOf,
    nowMs: Date.now,
  });
  const { server, counters } = createIngestServer({
    tls,
    intake: createIntake({
      authenticate: staticAuthenticator(TOKEN, 'ferry'),
      receive: (node, report) => {
        received.push({ node, report });
        return receive(node, report);
      },
      ...intake,
    }),
    log: createLogger('test', 'error', 'text'),
    connections: 1000,
    limits,
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanup.defer(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  const open = async (): Promise<TLSSocket> => {
    const socket = connect({ port, host: '127.0.0.1', ca, servername: 'localhost' });
    await once(socket, 'secureConnect');
    return socket;
  };
  const kept = cleanup.move();
  return {
    port,
    ca,
    counters,
    received,
    connect: open,
    async raw(...parts) {
      const socket = await open();
      const answer = readAnswer(socket);
      for (const part of parts) socket.write(part);
      return answer;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Reads what comes until the other side closes. */
export async function readAnswer(socket: Socket): Promise<Answer> {
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  // The server may cut off what we still send; what it answered before that counts.
  socket.on('error', () => {});
  await once(socket, 'close');
  const [head = '', body = ''] = text.split('\r\n\r\n', 2);
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
    head,
    body,
    code: /"code":"(\w+)"/.exec(body)?.[1],
  };
}

/** A report's request as text; headers may be replaced, or left out with undefined. */
export function requestText(
  body: string,
  headers: Readonly<Record<string, string | undefined>> = {},
  requestLine = 'POST /v1/reports HTTP/1.1',
): string {
  const all = {
    host: 'localhost',
    authorization: `Bearer ${TOKEN}`,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined);
  return `${requestLine}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}
