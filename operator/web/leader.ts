/** What a replica that does not lead knows of the nodes is nothing: it asks the leader, so that any replica can be asked. */

import { isIP } from 'node:net';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { hostPortText } from '#base/host-port.ts';
import type { LeadershipView } from '../fleet/view.ts';
import { answerJson } from '../http/answer.ts';

/** On a request that a follower passes on: it is not passed on again, whoever leads by then. */
const PASSED_ON = 'x-finwait-passed-on';
const PATIENCE_MS = 2000;

/**
 * Answers with what the leader answers; goes on to this replica's own answer where it leads, where nobody is known
 * to, or where the leader does not answer.
 * @param port of the web server, the same for all replicas
 */
export function askLeader(leadership: () => LeadershipView, port: () => number): RequestHandler {
  return async (request: Request, response: Response, next: NextFunction) => {
    const { leads, leader } = leadership();
    const host = leads || leader === undefined ? undefined : hostOf(leader.address);
    if (host === undefined || request.headers[PASSED_ON] !== undefined) return next();
    try {
      const answer = await fetch(`http://${hostPortText(host, port())}${request.originalUrl}`, {
        headers: { [PASSED_ON]: '1' },
        redirect: 'error',
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      answerJson(response, answer.status, await answer.text());
    } catch {
      next();
    }
  };
}

/** Of `https://IP:PORT`; only an address is believed. */
function hostOf(address: string): string | undefined {
  const host = URL.parse(address)?.hostname.replace(/^\[|\]$/g, '') ?? '';
  return isIP(host) === 0 ? undefined : host;
}
