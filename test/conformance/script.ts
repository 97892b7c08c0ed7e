/** Scripts: a line is a time, if it is another than before, and a statement. docs/conformance.md describes them. */

export type Role = 'active' | 'passive';

export interface Statement {
  readonly line: number;
  readonly text: string;
  /** Seconds, absolute or after the statement before; undefined: at the same time. */
  readonly time: { readonly seconds: number; readonly relative: boolean } | undefined;
  readonly verb: string;
  readonly rest: string;
}

export interface Script {
  readonly name: string;
  /** Its first line, without the #. */
  readonly title: string;
  readonly roles: readonly (Role | undefined)[];
  readonly families: readonly (4 | 6)[];
  readonly statements: readonly Statement[];
}

/** The handshake that `open` stands for; %options and %win are the peer's, %rtt is how long it takes to answer. The connection is descriptor 4 afterwards. */
const OPENINGS: Readonly<Record<Role, string>> = {
  active: `
    socket 4
    bind 4
    nonblocking 4
    connect 4 = EINPROGRESS
    > SYN 0:0(0)
    %rtt< SYN,ACK 0:0(0) ack 1 win %win %options
    > ACK 1:1(0) ack 1
    connect 4
    blocking 4`,
  passive: `
    socket 3
    bind 3
    listen 3
    < SYN 0:0(0) win %win %options
    > SYN,ACK 0:0(0) ack 1
    %rtt< ACK 1:1(0) ack 1 win %scaled %stamp
    accept 3 4`,
};

const STATEMENT = /^(?:(?<sign>\+?)(?<seconds>\d+(?:\.\d+)?)\s+)?(?<verb>[<>]|[a-z-]+)(?:\s+(?<rest>.*))?$/;

/** @throws Error that names the line that cannot be read */
export function parseScript(name: string, text: string): Script {
  const lines = text.split('\n');
  const statements = lines.flatMap((line, index) => parseLine(line, index + 1));
  const only = (verb: string) => statements.find((statement) => statement.verb === verb)?.rest;
  const [role, family] = [only('role'), only('family')];
  const opens = statements.some(({ verb }) => verb === 'open');
  return {
    name,
    title: (lines[0] ?? '').replace(/^#\s*/, ''),
    roles: !opens ? [undefined] : role === undefined ? ['active', 'passive'] : [role as Role],
    families: family === undefined ? [4, 6] : [family === '6' ? 6 : 4],
    statements: statements.filter(({ verb }) => verb !== 'role' && verb !== 'family'),
  };
}

function parseLine(line: string, number: number): Statement[] {
  const text = line.replace(/(?:^|\s)#.*$/, '').trim();
  if (text === '') return [];
  const groups = STATEMENT.exec(text)?.groups;
  if (groups === undefined) throw new Error(`line ${number} is no statement: ${text}`);
  const { sign, seconds, verb = '', rest = '' } = groups;
  const time = seconds === undefined ? undefined : { seconds: Number(seconds), relative: sign === '+' };
  return [{ line: number, text, time, verb, rest }];
}

/** The statements with each `open` replaced by the handshake of that role. */
export function inRole({ statements }: Script, role: Role | undefined): Statement[] {
  return statements.flatMap((statement) => {
    if (statement.verb !== 'open' || role === undefined) return [statement];
    const options = /<.*>/.exec(statement.rest)?.[0] ?? '<mss 1000>';
    const window = Number(/win (\d+)/.exec(statement.rest)?.[1] ?? 65_535);
    const rtt = /rtt ([\d.]+)/.exec(statement.rest)?.[1];
    const shift = Number(/wscale (\d+)/.exec(options)?.[1] ?? 0);
    const stamp = /TS (\d+)/.exec(options)?.[1];
    const opening = OPENINGS[role]
      .replaceAll('%options', options.replace(/TS (\d+) \d+/, role === 'active' ? 'TS $1 last' : 'TS $1 0'))
      .replaceAll('%rtt', rtt === undefined ? '' : `+${rtt} `)
      .replaceAll('%win', String(window))
      .replaceAll('%scaled', String(window >>> shift))
      .replaceAll('%stamp', stamp === undefined ? '' : `<nop,nop,TS ${stamp} last>`);
    const expanded = opening.split('\n').flatMap((line) => parseLine(line, statement.line));
    return expanded.map((one, index) => (index === 0 ? { ...one, time: statement.time } : one));
  });
}
