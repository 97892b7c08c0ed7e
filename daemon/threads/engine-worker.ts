/**
 * The engine worker: opens the TUN device and turns the engine until it is told to stop. The thread's event loop
 * never runs, so commands are fetched by hand and the end is a flag in shared memory; no wait is longer than
 * `WAIT_MAX_MS`, because neither `terminate` nor `process.exit` gets through to a thread that blocks.
 */

import { randomBytes } from 'node:crypto';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { conditionOf, FinwaitError } from '#base/errors.ts';
import type { HostTun } from '../kernel/host-tun.ts';
import { openHostTun } from '../kernel/host-tun.ts';
import type { Poller } from '../kernel/poller.ts';
import { createPoller } from '../kernel/poller.ts';
import { PROFILES } from '../tcp/profiles.ts';
import { createStack } from '../tcp/stack.ts';
import { parseIpAddress } from '../wire/address.ts';
import { monotonicUs, unixUs } from './engine-clock.ts';
import { EngineLoop } from './engine-loop.ts';
import { warmUp } from './engine-warmup.ts';
import type { EngineWorkerData, FromEngineWorker, ToEngineWorker } from './messages.ts';
import { ENGINE_CELLS, heartbeatClockMs } from './messages.ts';

const WAIT_MAX_MS = 250;
const COUNTERS_INTERVAL_MS = 1_000n;

function main({ host, profile, shared }: EngineWorkerData): void {
  const cells = new BigInt64Array(shared);
  const device = openOrRefuse(host);
  if (device === undefined) return;
  using _device = device;
  using poller = createPoller(device.fd, [device.eventsFd]);
  const loop = new EngineLoop({
    device,
    stack: createStack({
      addresses: [device.engineV4, device.engineV6].flatMap((text) =>
        text === undefined ? [] : [parsed(text)],
      ),
      mtu: device.mtu,
      random: randomBytes,
      profile: PROFILES[profile],
    }),
    nowUs: monotonicUs,
    unixUs,
    deviceDrops: () => device.dropped().toEngine,
  });
  warmUp(monotonicUs, randomBytes);
  const { engineV4, engineV6, hostV4, hostV6, mtu, conditions } = device;
  tell({
    type: 'ready',
    ready: { device: device.device, mtu, engineV4, engineV6, hostV4, hostV6, conditions },
    wakeFd: poller.wakeFd,
  });

  try {
    run(loop, device, poller, cells);
    device.leaveTable();
  } catch (error) {
    if (!(error instanceof FinwaitError) || error.code !== 'TUN_LOST') throw error;
    loop.abortAll();
    for (const outcome of loop.results()) tell({ type: 'result', ...outcome });
    tell({ type: 'lost', condition: conditionOf(error) });
  }
}

/** Turns the engine until the stop flag is set; then what is under way is ended, and its peers are told. */
function run(loop: EngineLoop, device: HostTun, poller: Poller, cells: BigInt64Array): void {
  let countersAtMs = 0n;
  let dueUs = Number.POSITIVE_INFINITY;
  while (Atomics.load(cells, ENGINE_CELLS.stop) === 0n) {
    const nowMs = heartbeatClockMs();
    Atomics.store(cells, ENGINE_CELLS.heartbeat, nowMs);
    takeCommands(loop);
    for (const outcome of loop.turn(dueUs)) tell({ type: 'result', ...outcome });
    if (nowMs - countersAtMs >= COUNTERS_INTERVAL_MS) {
      countersAtMs = nowMs;
      const counters = { ...loop.counters(), ...device.counters() };
      tell({ type: 'counters', counters, conditions: device.conditions });
    }
    const waitMs = Math.min((loop.nextDeadlineUs() - monotonicUs()) / 1000, WAIT_MAX_MS);
    dueUs = monotonicUs() + Math.max(0, waitMs) * 1000;
    poller.wait(waitMs);
  }
  takeCommands(loop);
  loop.abortAll();
  for (const outcome of loop.turn(dueUs)) tell({ type: 'result', ...outcome });
  for (const outcome of loop.turn(dueUs)) tell({ type: 'result', ...outcome });
}

function openOrRefuse(config: EngineWorkerData['host']): HostTun | undefined {
  try {
    return openHostTun(config);
  } catch (error) {
    const condition = conditionOf(error);
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined;
    tell({ type: 'refused', condition, ...(cause === undefined ? {} : { cause }) });
    return undefined;
  }
}

function takeCommands(loop: EngineLoop): void {
  if (parentPort === null) return;
  for (
    let got = receiveMessageOnPort(parentPort);
    got !== undefined;
    got = receiveMessageOnPort(parentPort)
  ) {
    const command = got.message as ToEngineWorker;
    if (command.type === 'abort') loop.abort(command.id);
    else loop.start({ ...command.request, address: parsed(command.request.address) });
  }
}

function tell(message: FromEngineWorker): void {
  parentPort?.postMessage(message);
}

/** An address that was canonical text already. */
function parsed(text: string) {
  const address = parseIpAddress(text);
  if (!address.ok) throw new Error(`${text}: ${address.reason}`);
  return address.value;
}

main(workerData as EngineWorkerData);
