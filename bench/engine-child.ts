/**
 * The engine as the measured process. `engine-child.ts ROLE JSON` opens the device, prints `ready`, waits for a line,
 * works, and prints what came of it as one line of JSON. With a path `profile` in the JSON, a CPU profile of the work is written there.
 */

import { readSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { openTun } from '../daemon/kernel/tun.ts';
import { address, EngineOnTun, granted, newStack, nowUs } from './engine-on-tun.ts';
import { DEVICE, HOST, PORT, PORTS } from './network.ts';

interface Work {
  readonly fd: number;
  readonly seconds: number;
  readonly atOnce: number;
  readonly bytes: number;
}

export type Role = keyof typeof ROLES;

const CHUNK = new Uint8Array(1 << 16);
const BACKLOG = 4096;
const SAMPLING_US = 500;

const ROLES = {
  /** Accepts connections and closes each when its peer has. */
  serve({ fd, seconds }: Work) {
    const stack = newStack(500_000);
    let closed = 0;
    const listeners = Array.from({ length: PORTS }, (_, n) => stack.listen({ port: PORT + n }, BACKLOG)).map(
      granted,
    );
    const engine = new EngineOnTun(fd, stack, (event) => {
      if (event.kind === 'accepted') stack.accept(event.listener);
      else if (event.kind === 'readable') {
        const got = stack.receive(event.id, CHUNK.length, nowUs());
        if (got.ok && got.value.eof) stack.close(event.id, nowUs());
      } else if (event.kind === 'ended') closed += 1;
    });
    const spent = measured(engine, seconds, () => {});
    for (const listener of listeners) stack.close(listener, nowUs());
    return { ...spent, closed };
  },

  /** Opens connections and closes each when its peer has. */
  connect({ fd, seconds, atOnce }: Work) {
    const stack = newStack(500_000);
    const remote = { address: address(HOST), port: PORT };
    let open = 0;
    let done = 0;
    let failed = 0;
    const engine = new EngineOnTun(fd, stack, (event) => {
      if (event.kind === 'readable') {
        const got = stack.receive(event.id, CHUNK.length, nowUs());
        if (got.ok && got.value.eof) stack.close(event.id, nowUs());
      } else if (event.kind === 'ended') {
        open -= 1;
        if (event.reason === 'closed') done += 1;
        else failed += 1;
      }
    });
    const spent = measured(engine, seconds, () => {
      for (; open < atOnce; open += 1) granted(stack.connect({ remote }, nowUs()));
    });
    return { ...spent, done, failed };
  },

  /** SYN, SYN,ACK, RST: what a scan sends. */
  'half-open'({ fd, seconds, atOnce }: Work) {
    const stack = newStack(500_000);
    const remote = { address: address(HOST), port: PORT };
    let open = 0;
    let done = 0;
    let failed = 0;
    const engine = new EngineOnTun(fd, stack, (event) => {
      if (event.kind === 'state' && event.to === 'ESTABLISHED') stack.abort(event.id, nowUs());
      else if (event.kind === 'ended') {
        open -= 1;
        if (event.reason === 'aborted') done += 1;
        else failed += 1;
      }
    });
    const spent = measured(engine, seconds, () => {
      for (; open < atOnce; open += 1) granted(stack.connect({ remote }, nowUs()));
    });
    return { ...spent, done, failed };
  },

  /** Sends so many bytes, and waits until all are acknowledged and the peer has closed. */
  send({ fd, bytes, seconds }: Work) {
    const stack = newStack();
    let left = bytes;
    let ended = false;
    const fill = () => {
      while (left > 0) {
        const taken = stack.send(id, left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK, nowUs());
        if (!taken.ok || taken.value === 0) return;
        left -= taken.value;
        if (left === 0) stack.shutdown(id, nowUs());
      }
    };
    const engine = new EngineOnTun(fd, stack, (event) => {
      if (event.kind === 'ended' || (event.kind === 'state' && event.to === 'TIME-WAIT')) ended = true;
    });
    const id = granted(stack.connect({ remote: { address: address(HOST), port: PORT } }, nowUs()));
    engine.runUntil(() => stack.info(id)?.state === 'ESTABLISHED');
    const spent = measured(engine, seconds, fill, () => ended);
    return { ...spent, bytes: bytes - left };
  },

  /** Reads until the peer has closed. */
  receive({ fd, seconds }: Work) {
    const stack = newStack();
    let bytes = 0;
    let eof = false;
    const engine = new EngineOnTun(fd, stack, (event) => {
      if (event.kind !== 'readable') return;
      for (;;) {
        const got = stack.receive(event.id, Number.MAX_SAFE_INTEGER, nowUs());
        if (!got.ok) return;
        bytes += got.value.data.length;
        eof ||= got.value.eof;
        if (got.value.data.length === 0 || eof) return;
      }
    });
    granted(stack.connect({ remote: { address: address(HOST), port: PORT } }, nowUs()));
    const spent = measured(
      engine,
      seconds,
      () => {},
      () => eof,
    );
    return { ...spent, bytes };
  },
} as const;

/** Turns of the engine until the time is over or `done`; `before` each of them. */
function measured(engine: EngineOnTun, seconds: number, before: () => void, done = () => false) {
  const startedUs = nowUs();
  const startedCpu = process.cpuUsage();
  const endUs = startedUs + seconds * 1e6;
  engine.runUntil(() => {
    before();
    return done() || nowUs() >= endUs;
  });
  const { user, system } = process.cpuUsage(startedCpu);
  const { counters } = engine.stack;
  return {
    seconds: (nowUs() - startedUs) / 1e6,
    cpuSeconds: (user + system) / 1e6,
    retransmitted: counters.retransmittedSegments,
    segmentsIn: counters.segmentsIn,
    cookies: counters.synCookiesSent,
    dropped: counters.dropped,
    writesFailed: engine.writesFailed,
  };
}

if (import.meta.main) {
  const [role, text = '{}'] = process.argv.slice(2);
  const run = ROLES[role as Role];
  if (run === undefined) throw new Error('engine-child.ts ROLE JSON');
  const { profile, ...work } = JSON.parse(text);
  const { fd } = openTun(DEVICE, true);
  console.log('ready');
  readSync(0, new Uint8Array(16));
  const session = new Session();
  session.connect();
  if (profile !== undefined) {
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLING_US });
    await session.post('Profiler.start');
  }
  const result = run({ fd, ...work });
  if (profile !== undefined) {
    writeFileSync(profile, JSON.stringify((await session.post('Profiler.stop')).profile));
  }
  console.log(JSON.stringify(result));
  process.exit();
}
