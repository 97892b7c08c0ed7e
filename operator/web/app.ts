/** What the operator tells people and tools (JSON, health, metrics), as an express app that does not listen by itself. */

import { isIPv4 } from 'node:net';
import type { Express, NextFunction, Request, Response } from 'express';
import express from 'express';
import type { Logger } from '#base/log.ts';
import { PROM_CONTENT_TYPE, promText } from '#base/prom-text.ts';
import type { LeadershipView, NodeView, Overview } from '../fleet/view.ts';
import type { Refusal } from '../http/answer.ts';
import { answerJson, errorBody } from '../http/answer.ts';
import { askLeader } from './leader.ts';
import { metricFamilies } from './metrics.ts';

export interface WebDeps {
  readonly overview: () => Overview;
  readonly node: (name: string) => NodeView | undefined;
  /** Whether the operator listens to agents. */
  readonly ready: () => boolean;
  /** Absent where there is but one operator. A replica that does not lead is ready, too: it names the leader. */
  readonly leadership?: () => LeadershipView;
  /** Port of the web server, the same for all replicas: a follower asks the leader there. */
  readonly port?: () => number;
  /**
   * True when bound to loopback: then a request must name a loopback host, or any page in a browser of this
   * machine could read the answers through a name of its own that resolves here (DNS rebinding).
   */
  readonly loopbackOnly: boolean;
  readonly log: Logger;
}

const SECURITY_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
};

export const PATHS_HINT =
  'this server has /, /api/v1/overview, /api/v1/nodes/NAME, /healthz, /readyz and /metrics';

export function createApp(deps: WebDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use((request: Request, response: Response, next: NextFunction) => {
    response.set(SECURITY_HEADERS);
    if (deps.loopbackOnly && !isLoopbackHost(request.headers.host)) {
      refuse(response, {
        status: 403,
        code: 'HOST_NOT_ALLOWED',
        message: 'this is served on loopback and answers to localhost, 127.0.0.1 and [::1] only',
        hint: 'open it as http://127.0.0.1, or give --web-listen another address',
      });
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.set('allow', 'GET, HEAD');
      refuse(response, {
        status: 405,
        code: 'METHOD_NOT_ALLOWED',
        message: `nothing here takes ${request.method}`,
        hint: 'ask with GET',
      });
    } else next();
  });

  const { leadership, port } = deps;
  if (leadership !== undefined && port !== undefined)
    app.get(['/', '/api/v1/*path'], askLeader(leadership, port));
  app.get(['/', '/api/v1/overview'], (_request, response) => pretty(response, deps.overview()));
  app.get('/api/v1/nodes/:name', (request, response) => {
    const node = deps.node(request.params.name);
    if (node !== undefined) return pretty(response, node);
    refuse(response, {
      status: 404,
      code: 'NOT_FOUND',
      message: 'no node of that name has reported',
      hint: '/api/v1/overview lists the nodes',
    });
  });
  app.get('/healthz', (_request, response) => answerJson(response, 200, '{"status":"ok"}\n'));
  app.get('/readyz', (_request, response) => {
    const ready = deps.ready();
    const body = { status: ready ? 'ready' : 'not ready', leadership: deps.leadership?.() };
    answerJson(response, ready ? 200 : 503, `${JSON.stringify(body)}\n`);
  });
  app.get('/metrics', (_request, response) => {
    response.set('content-type', PROM_CONTENT_TYPE).end(promText(metricFamilies(deps.overview())));
  });

  app.use((_request: Request, response: Response) =>
    refuse(response, { status: 404, code: 'NOT_FOUND', message: 'there is nothing here', hint: PATHS_HINT }),
  );
  // Express tells an error handler by its four parameters.
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    if (error instanceof URIError) {
      return refuse(response, {
        status: 400,
        code: 'REQUEST_INVALID',
        message: 'the path of the request is not well formed',
        hint: PATHS_HINT,
      });
    }
    deps.log.log('error', 'an answer could not be made', {
      error: error instanceof Error ? error.stack : String(error),
    });
    refuse(response, {
      status: 500,
      code: 'INTERNAL',
      message: 'the answer could not be made',
      hint: "the operator's log says more",
    });
  });
  return app;
}

function pretty(response: Response, value: unknown): void {
  answerJson(response, 200, `${JSON.stringify(value, null, 2)}\n`);
}

function refuse(response: Response, refusal: Refusal): void {
  answerJson(response, refusal.status, errorBody(refusal));
}

/** Whether a Host header names this machine's loopback; one without the header comes from no browser. */
function isLoopbackHost(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d*$/, '').toLowerCase();
  return name === 'localhost' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'));
}
