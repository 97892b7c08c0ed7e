/** What a failed push tells a person: what happened and what to do about it. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import { boundText } from './bounds.ts';

const HINTS: readonly (readonly [codes: readonly string[], hint: string])[] = [
  [
    ['ECONNREFUSED'],
    'nothing listens there: start the operator, or correct --operator-url; reports are kept and sent when it is back',
  ],
  [
    ['ENOTFOUND', 'EAI_AGAIN'],
    'the name does not resolve: correct --operator-url, or look at the DNS of this node',
  ],
  [
    ['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'],
    'there is no way to that address: look at routes, firewalls and network policies between this node and the operator',
  ],
  [
    ['ERR_TLS_CERT_ALTNAME_INVALID'],
    'the certificate is for other names: give one of them as --server-name, or add the name to the operator with --tls-name',
  ],
  [
    [
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'CERT_SIGNATURE_FAILURE',
    ],
    "the certificate is not signed by an authority of --ca-file: give the ca.crt that the operator's --tls-dir holds",
  ],
  [
    ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'],
    'the certificate is out of its time: compare the clocks of this node and the operator, or renew the certificate',
  ],
  [
    ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'],
    "what answers there does not speak TLS: --operator-url must name the operator's --ingest-listen port",
  ],
];
const ANY_HINT = 'reports are kept and sent again; look at the log of the operator if it persists';

/** No answer came: refused, timed out, not trusted, cut off. */
export function networkCondition(error: Error, operatorUrl: string): Condition {
  const code = 'code' in error ? String(error.code) : '';
  const hint = HINTS.find(([codes]) => codes.includes(code))?.[1] ?? ANY_HINT;
  return {
    code: 'OPERATOR_UNREACHABLE',
    message: boundText(`reports do not reach ${operatorUrl}: ${reasonOf(error)}`),
    hint,
  };
}

/** Of several addresses tried, Node's error has an empty message and one error for each. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map((inner) => (inner instanceof Error ? inner.message : String(inner))).join('; ');
  }
  return error.message;
}

const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'REPORT_INVALID',
  401: 'OPERATOR_REFUSED',
  403: 'OPERATOR_REFUSED',
  413: 'REPORT_TOO_LARGE',
  422: 'REPORT_INVALID',
};
const STATUS_HINTS: Readonly<Record<number, string>> = {
  400: 'agent and operator may be of different versions: bring both to the same; the report was dropped and counted',
  401: "the operator does not know the token: --token-file must hold what the operator's --agent-token-file holds",
  403: 'the operator knows the token but does not let it report for this node',
  404: 'what answers there is not an operator: --operator-url must name its --ingest-listen port',
  413: 'the operator takes smaller reports than this agent makes: bring both to the same version; the report was dropped and counted',
  421: 'the operators do not agree who leads; this ends when one of them holds the Lease',
  422: 'agent and operator may be of different versions: bring both to the same; the report was dropped and counted',
};

/** An answer came that is not an acknowledgement; the operator's own words are passed on. */
export function statusCondition(status: number, body: unknown, operatorUrl: string): Condition {
  const said = wordsOf(body);
  const what = status === 200 ? 'an acknowledgement that cannot be read' : `HTTP status ${status}`;
  return {
    code: STATUS_CODES[status] ?? 'OPERATOR_UNREACHABLE',
    message: boundText(
      `${operatorUrl} answered with ${what}${said.message === '' ? '' : `: ${said.message}`}`,
    ),
    hint: boundText(said.hint || STATUS_HINTS[status] || ANY_HINT),
  };
}

/** `{error: {message, hint}}` as the operator writes it, or `{reason}`; nothing in it is trusted to be there. */
function wordsOf(body: unknown): { readonly message: string; readonly hint: string } {
  const error = field(body, 'error');
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  return {
    message: text(field(error, 'message')) || text(field(body, 'reason')),
    hint: text(field(error, 'hint')),
  };
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && key in value
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
