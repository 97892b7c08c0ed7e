/** What `finwait probe` prints: ladders, verdict lines or JSON on standard output; notes on standard error. */

import type { Condition, FinwaitError } from '#base/errors.ts';
import { conditionOf, errorLines } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import { latency } from '#base/latency.ts';
import type { ProbeResult } from '#contract';
import type { CliIo } from './io.ts';
import { headingLine, ladderLines, verdictLines } from './ladder.ts';
import type { ProbeSettings } from './probe-settings.ts';
import { verdictStyle } from './view-sections.ts';
import { colours, writesUtf8 } from './view-terminal.ts';
import type { Line } from './view-text.ts';
import { paintLine, wrap } from './view-text.ts';

export interface ProbePrinter {
  /** @param hint what to do about a verdict that this machine is the reason of */
  result(result: ProbeResult, hint?: string): void;
  /** Something to know that is no result. */
  note(text: string): void;
  /** An error that is one target's alone; with --json it is an object on standard output, too. */
  fault(target: string, error: FinwaitError): void;
  /** What the results have in common; and, when not all is well, what this machine does not allow. */
  end(conditions: readonly Condition[]): void;
}

export function probePrinter(settings: ProbeSettings, io: CliIo): ProbePrinter {
  const paint = {
    colour: io.isTTY && !settings.noColor && colours(io.env),
    unicode: writesUtf8(io.env),
    ...(io.columns === undefined ? {} : { columns: io.columns }),
  };
  const print = (lines: readonly Line[]) => {
    io.stdout.write(lines.map((line) => `${paintLine(line, paint)}\n`).join(''));
  };
  const complain = (text: string) => {
    const lines = wrap(text, Math.max(40, (io.columns ?? 110) - 1));
    io.stderr.write(lines.map((line, index) => `${index === 0 ? '' : '  '}${line}\n`).join(''));
  };
  const results: ProbeResult[] = [];
  return {
    result(result, hint) {
      results.push(result);
      const hintLines = hint === undefined ? [] : wrap(`hint: ${hint}`, (io.columns ?? 110) - 2);
      const hintText = hintLines.map((text): Line => [{ text: `  ${text}` }]);
      if (settings.json) {
        io.stdout.write(`${JSON.stringify(result)}\n`);
        if (hint !== undefined) complain(`hint: ${hint}`);
      } else if (settings.quiet) {
        print([quietLine(result), ...hintText]);
      } else {
        const { columns } = io;
        print([
          headingLine(result),
          ...ladderLines(result, columns),
          ...verdictLines(result, columns),
          ...hintText,
          [],
        ]);
      }
    },
    note: (text) => complain(`note: ${text}`),
    fault(target, error) {
      if (settings.json) io.stdout.write(`${JSON.stringify({ target, error: conditionOf(error) })}\n`);
      io.stderr.write(`${errorLines(error).join('\n')}\n`);
    },
    end(conditions) {
      if (!settings.json && results.length > 1) print(summaryLines(results));
      if (results.every(({ verdict }) => verdict === 'open')) return;
      const told = new Set(results.map(({ sentence }) => sentence));
      for (const { code, message, hint } of conditions) {
        if (!told.has(message)) complain(`note: ${code}: ${message}; hint: ${hint}`);
      }
    },
  };
}

function quietLine(result: ProbeResult): Line {
  const { target, remote, verdict, sentence } = result;
  const given = hostPortText(target.host, target.port);
  const to = hostPortText(remote.address, remote.port);
  return [
    { text: given === to ? to : `${given} (${to})`, style: 'bold' },
    { text: ' ' },
    { text: verdict, style: verdictStyle(verdict) },
    { text: `: ${sentence}` },
    ...(result.tainted === undefined
      ? []
      : [{ text: ` (tainted: ${result.tainted})`, style: 'warn' } as const]),
  ];
}

/** `4 probes: 3 open, 1 refused; handshake 80 us to 1.02 s, half of them within 95 us` */
function summaryLines(results: readonly ProbeResult[]): Line[] {
  const byVerdict = [...Map.groupBy(results, ({ verdict }) => verdict)].sort(
    ([, a], [, b]) => b.length - a.length,
  );
  const counts = byVerdict.map(([verdict, { length }]) => `${length} ${verdict}`).join(', ');
  const handshakes = results
    .map(({ steps }) => steps.synAckReceivedUs)
    .filter((us) => us !== undefined)
    .sort((a, b) => a - b);
  const [least, median, most] = [handshakes[0], handshakes[handshakes.length >> 1], handshakes.at(-1)];
  const times =
    least === undefined || median === undefined || most === undefined
      ? ''
      : `; handshake ${latency(least)} to ${latency(most)}, half of them within ${latency(median)}`;
  return [[{ text: `${results.length} probes: ${counts}${times}`, style: 'bold' }]];
}
