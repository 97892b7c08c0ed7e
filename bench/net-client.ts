/**
 * What one would write with Node alone: opens connections with net.connect, each closed when its peer has.
 * `net-client.ts PORT SECONDS AT_ONCE`; prints what came of it as JSON.
 */

import { connect } from 'node:net';

const [port, seconds, atOnce] = process.argv.slice(2).map(Number) as [number, number, number];
const startedMs = performance.now();
const startedCpu = process.cpuUsage();
let open = 0;
let done = 0;
let failed = 0;

function begin(): void {
  open += 1;
  const socket = connect(port, '127.0.0.1');
  let broken = false;
  socket.on('error', () => {
    broken = true;
  });
  socket.on('close', () => {
    open -= 1;
    if (broken) failed += 1;
    else done += 1;
    if (performance.now() - startedMs < seconds * 1000) begin();
    else if (open === 0) tell();
  });
  socket.resume();
}

function tell(): void {
  const { user, system } = process.cpuUsage(startedCpu);
  const elapsed = (performance.now() - startedMs) / 1000;
  console.log(JSON.stringify({ done, failed, seconds: elapsed, cpuSeconds: (user + system) / 1e6 }));
}

for (let n = 0; n < atOnce; n += 1) begin();
