/** What finwait does not do of RFC 9293, and why. A MAY that it does not make use of is here as well. */

const NO_SOURCE_ROUTES =
  'IP source routes are dropped by routers and hosts everywhere (RFC 7126 4.3, RFC 6274 3.13.2.3); a received one is ignored (MUST-50), and none is sent.';

export const DEVIATIONS: Readonly<Record<string, string>> = {
  'MUST-51': NO_SOURCE_ROUTES,
  'MUST-52': NO_SOURCE_ROUTES,
  'MUST-53': NO_SOURCE_ROUTES,
  'SHLD-24': NO_SOURCE_ROUTES,
  'SHLD-20':
    'There is no switch: reports are events of the engine, and who does not want them does not look. They cost nothing and hold nothing up.',
  'SHLD-26':
    'Hard errors end a handshake. A connection that is synchronized outlives them as it does soft ones, because they may be forged or pass (RFC 5461 4.1, RFC 5927 5.2); they are told as events.',
  'MAY-4': 'Packets that are not fragmented need no identification that means something (RFC 6864 4).',
  'MAY-6':
    'A keepalive carries no octet: only implementations older than RFC 1122 did not answer without one.',
  'MAY-7': 'What lies beyond the shrunk edge waits for the window.',
  'MAY-10': 'Packets with IP options are dropped on most paths (RFC 7126).',
  'MAY-11': 'Packets with IP options are dropped on most paths (RFC 7126).',
  'MAY-14': 'What is queued can be dropped only with the connection.',
};
