/** What a command may touch of the terminal it was started in; tests hand in streams of their own. */

import { FinwaitError } from '#base/errors.ts';

export interface CliIo {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Width of standard output when it is a terminal. */
  readonly columns: number | undefined;
  /** Lines of it. */
  readonly rows?: number | undefined;
  /** Whether standard output is a terminal. */
  readonly isTTY: boolean;
}

/** A command: its arguments after its name; answers its exit code. */
export type RunCommand = (args: readonly string[], io: CliIo) => Promise<number>;

/** Exit codes every command holds to. */
export const EXIT = {
  ok: 0,
  /** The command did its work, and the answer is bad news: a verdict that is not `open`, a part that died. */
  verdict: 1,
  usage: 2,
  /** The machine does not allow it: a capability, device, port or kernel part is missing. */
  notAllowed: 3,
} as const;

/** The streams and environment of this process. */
export function processIo(): CliIo {
  const { stdout, stderr, env } = process;
  return {
    stdout,
    stderr,
    env,
    // A terminal that does not know its size says 0; it may become larger or smaller at any time.
    get columns() {
      return stdout.columns || undefined;
    },
    get rows() {
      return stdout.rows || undefined;
    },
    isTTY: stdout.isTTY === true,
  };
}

/**
 * Calls back when nothing can be written to `output` any more: with OUTPUT_FAILED, or with nothing when it is only
 * that nobody reads any more (`| head`, a terminal that was closed).
 */
export function whenOutputEnds(
  output: NodeJS.WritableStream,
  onEnd: (fault: FinwaitError | undefined) => void,
): void {
  output.on('error', (error: NodeJS.ErrnoException) => {
    const unread = error.code === 'EPIPE' || error.code === 'EIO';
    onEnd(unread ? undefined : outputFailed(error));
  });
}

function outputFailed(error: Error): FinwaitError {
  return new FinwaitError(
    'OUTPUT_FAILED',
    'standard output cannot be written',
    'see that the file or device it goes to has room and can be written, then run the command again',
    error,
  );
}
