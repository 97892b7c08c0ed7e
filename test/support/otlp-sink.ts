/**
 * Where the Collector of a test sends what it received: prints its port, then each body, one JSON object a line.
 * A program of its own, so that it can live in any network namespace.
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

const server = createServer(async (request, response) => {
  const body = await json(request);
  process.stdout.write(`${JSON.stringify({ path: request.url, body })}\n`);
  response.setHeader('content-type', 'application/json').end('{}');
});
await once(server.listen(0, '127.0.0.1'), 'listening');
process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`);
