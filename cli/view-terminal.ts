/**
 * The screen of the live view: the terminal's alternate screen redrawn in place, keys read raw. Leaving puts
 * everything back as it was, however the program ends.
 */

import type { Size } from './view-frame.ts';

/** The parts of a terminal's two streams that the screen uses. */
export interface ScreenStreams {
  readonly output: NodeJS.WriteStream;
  /** Absent when standard input is not a terminal: then there are no keys. */
  readonly input: NodeJS.ReadStream | undefined;
}

export interface ScreenEvents {
  onResize(): void;
  onQuit(): void;
}

export interface Screen {
  size(): Size;
  draw(lines: readonly string[]): void;
  /** Back to the normal screen, cursor shown, keys as before. */
  leave(): void;
}

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const QUIT_KEYS = new Set(['q', 'Q', '\x03', '\x04']);
const SUSPEND_KEY = '\x1a';

/** Takes over the terminal until `leave`. */
export function openScreen({ output, input }: ScreenStreams, events: ScreenEvents): Screen {
  let drawn: readonly string[] = [];
  let away = false;

  const size = (): Size => ({ columns: output.columns || 80, rows: output.rows || 24 });
  const paint = () => {
    // Home, then each line with the rest of its row cleared, then everything below.
    if (!away) output.write(`\x1b[H${drawn.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
  };
  const enter = () => {
    away = false;
    input?.setRawMode(true);
    output.write(ENTER);
  };
  const leave = () => {
    if (away) return;
    away = true;
    input?.setRawMode(false);
    output.write(LEAVE);
  };
  const onKey = (keys: Buffer) => {
    const text = keys.toString('latin1');
    if (text === SUSPEND_KEY) {
      leave();
      // The whole foreground group stops, npm included, as with Ctrl-Z in cooked mode.
      process.kill(0, 'SIGTSTP');
    } else if (QUIT_KEYS.has(text)) {
      events.onQuit();
    }
  };
  const onContinue = () => {
    enter();
    events.onResize();
  };
  input?.on('data', onKey);
  input?.resume();
  output.on('resize', events.onResize);
  process.on('SIGCONT', onContinue);
  process.on('exit', leave);
  enter();

  return {
    size,
    draw(lines) {
      drawn = lines;
      paint();
    },
    leave() {
      input?.off('data', onKey);
      input?.pause();
      output.off('resize', events.onResize);
      process.off('SIGCONT', onContinue);
      process.off('exit', leave);
      leave();
    },
  };
}

/** Whether the locale of an environment writes UTF-8: setlocale(3) order LC_ALL, LC_CTYPE, LANG. */
export function writesUtf8(env: Readonly<Record<string, string | undefined>>): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

/** Whether to colour: https://no-color.org, and terminals that cannot. */
export function colours(env: Readonly<Record<string, string | undefined>>): boolean {
  return (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}
