/** The four ways to show a model: live on a terminal, as plain lines, as one report, as JSON. */

import type { CliIo } from './io.ts';
import { jsonText } from './json-text.ts';
import { frameLines, reportLines } from './view-frame.ts';
import { NOTHING_SAID, newLines } from './view-lines.ts';
import type { ViewModel } from './view-model.ts';
import { firstProbesEnded, outdated } from './view-model.ts';
import type { ScreenStreams } from './view-terminal.ts';
import { colours, openScreen, writesUtf8 } from './view-terminal.ts';
import { paintLine } from './view-text.ts';

export interface Show {
  /** Takes a newer model. Answers true when there is nothing more to show and the program may end. */
  update(model: ViewModel): boolean;
  /** Gives the terminal back; nothing is shown afterwards. */
  end(): void;
}

/** A report that goes into a file or a pipe is not cut. */
const REPORT_COLUMNS = Number.POSITIVE_INFINITY;

export function liveShow(streams: ScreenStreams, io: CliIo, onQuit: () => void): Show {
  let shown: ViewModel | undefined;
  const paint = { colour: colours(io.env), unicode: writesUtf8(io.env) };
  const screen = openScreen(streams, { onQuit, onResize: () => draw() });
  const frame = (model: ViewModel) => {
    const size = screen.size();
    return frameLines(model, size).map((line) => paintLine(line, { ...paint, columns: size.columns }));
  };
  const draw = () => {
    if (shown !== undefined) screen.draw(frame(shown));
  };
  return {
    update(model) {
      shown = model;
      draw();
      return false;
    },
    end() {
      const last = shown === undefined ? [] : frame(shown).slice(0, -1);
      screen.leave();
      // The alternate screen is gone with all it showed; the last frame stays to be read.
      if (last.length > 0) streams.output.write(`${last.join('\n')}\n`);
    },
  };
}

export function lineShow(io: CliIo, statusIntervalMs: number): Show {
  let said = NOTHING_SAID;
  const paint = { colour: false, unicode: writesUtf8(io.env) };
  return {
    update(model) {
      const next = newLines(model, said, statusIntervalMs);
      said = next.said;
      const text = next.lines.map((line) => `${paintLine([{ text: line }], paint)}\n`).join('');
      if (text !== '') io.stdout.write(text);
      return false;
    },
    end() {},
  };
}

/** One full report once the first probes have ended, or at the deadline (Unix milliseconds) with what there is. */
export function reportShow(io: CliIo, deadlineMs: number): Show {
  const paint = { colour: io.isTTY && colours(io.env), unicode: writesUtf8(io.env) };
  return {
    update(model) {
      if (!firstProbesEnded(model) && model.nowMs < deadlineMs) return false;
      const lines = reportLines(model, io.columns ?? REPORT_COLUMNS);
      io.stdout.write(`${lines.map((line) => paintLine(line, paint)).join('\n')}\n`);
      return true;
    },
    end() {},
  };
}

/** The overview, with what `finwait up` itself has to say, as a JSON object a line. */
export function jsonShow(io: CliIo, once: boolean, deadlineMs: number): Show {
  let last = '';
  return {
    update(model) {
      if (model.overview === undefined) return once && model.nowMs >= deadlineMs;
      const old = outdated(model);
      // While the operator is silent there is nothing new to say but that, once.
      const news = `${model.overview.generatedAtMs} ${old?.who}`;
      if (news === last || (once && !firstProbesEnded(model) && model.nowMs < deadlineMs)) return false;
      last = news;
      const up = { conditions: model.conditions, ...(old === undefined ? {} : { outdated: old }) };
      io.stdout.write(`${jsonText({ ...model.overview, up })}\n`);
      return once;
    },
    end() {},
  };
}
