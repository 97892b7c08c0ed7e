/** Whole connections, packet for packet: test/netsim/golden/. `FINWAIT_UPDATE_GOLDEN=1 npm test -- netsim/golden` */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../../daemon/netsim/random.ts';
import type { Profile } from '../../daemon/tcp/profile.ts';
import { FINWAIT_PROFILE } from '../../daemon/tcp/profiles/finwait.ts';
import { decodeIp } from '../../daemon/wire/ip.ts';
import { decodeTcpHeader } from '../../daemon/wire/tcp-header.ts';
import { spec } from '../harness.ts';
import { bytesOf, exchange, type Scene, SECOND_US } from './scene.ts';
import { Transcript } from './transcript.ts';

const WAY_US = 50_000;
/** The plainest there is, so that the shape of the window is easy to see. */
const RENO = {
  ...FINWAIT_PROFILE,
  congestion: 'newreno',
  slowStartSegments: Number.POSITIVE_INFINITY,
  offerTimestamps: false,
} as const;

/** What is in a packet: flags, and octets of text. */
function contentOf(packet: Uint8Array): { readonly text: number } {
  const ip = decodeIp(packet);
  const header = ip.ok ? decodeTcpHeader(packet, ip.value.payload, ip.value.end) : undefined;
  if (!ip.ok || !header?.ok) throw new Error('no TCP segment');
  return { text: ip.value.end - header.value.payload };
}

/** Loses the packets with text whose turn (from 1) is in the list. */
function losingText(...turns: number[]): (packet: Uint8Array) => boolean {
  let turn = 0;
  return (packet) => contentOf(packet).text > 0 && turns.includes(++turn);
}

function compare(name: string, transcript: Transcript): void {
  const file = join(import.meta.dirname, 'golden', `${name}.txt`);
  if (process.env.FINWAIT_UPDATE_GOLDEN === '1') writeFileSync(file, transcript.text);
  assert.fixture(transcript.text, readFileSync(file, 'utf8'), `test/netsim/golden/${name}.txt`);
}

/** The client sends so many octets; `lose` decides about its packets. */
function upload(
  octets: number,
  transcript: Transcript,
  lose: (packet: Uint8Array, nowUs: number) => boolean = () => false,
  profile: Profile = RENO,
): Scene {
  const scene = exchange({
    seed: 1,
    link: { delayUs: WAY_US, lose },
    profiles: { client: profile, server: profile },
    clientSends: new SeededRandom(2).bytes(octets),
    closesLast: 'server',
    onPacket: transcript.onPacket,
  });
  transcript.of(scene);
  return scene;
}

const end = (scene: Scene, octets: number) => {
  scene.simulation.run(600 * SECOND_US);
  assert.is(bytesOf(scene.server).length, octets);
  assert.equal([scene.client.ended, scene.server.ended], ['closed', 'closed']);
};

spec('golden traces', (test) => {
  test('slow start: ten segments, then twice as many for each round trip (RFC 5681, RFC 6928)', () => {
    const transcript = new Transcript();
    const octets = 100_000;
    const starts: number[] = [];
    const scene = upload(octets, transcript, (packet, nowUs) => {
      if (contentOf(packet).text > 0) starts.push(Math.floor((nowUs - 2 * WAY_US) / (2 * WAY_US)));
      return false;
    });
    end(scene, octets);
    const rounds = [0, 1, 2].map((round) => starts.filter((start) => start === round).length);
    assert.equal(rounds, [10, 20, 39]);
    compare('slow-start', transcript);
  });

  test('fast recovery: one segment is lost, sent again once, and the window is half as large (RFC 6675, 6937)', () => {
    const transcript = new Transcript();
    const scene = upload(60_000, transcript, losingText(15));
    end(scene, 60_000);
    assert.is(scene.client.retransmissions, 1);
    compare('fast-recovery', transcript);
  });

  test('RTO: nothing gets through for a while; the timeouts double, and slow start begins anew (RFC 6298)', () => {
    const transcript = new Transcript();
    const silence = (packet: Uint8Array, nowUs: number) =>
      contentOf(packet).text > 0 && nowUs < 2 * SECOND_US;
    const scene = upload(20_000, transcript, silence, { ...RENO, offerSack: false });
    end(scene, 20_000);
    compare('rto', transcript);
  });

  test('tail loss: with SACK, a probe finds what was lost at the end before the timeout does (RFC 8985)', () => {
    const transcript = new Transcript();
    const scene = upload(5000, transcript, losingText(3, 4));
    end(scene, 5000);
    assert.ok(!transcript.text.includes('  loss'), 'no timeout');
    compare('tail-loss', transcript);
  });

  test('zero window: nobody reads for three seconds; the probes come ever later (RFC 9293 3.8.6.1)', () => {
    const transcript = new Transcript();
    const scene = exchange({
      seed: 1,
      link: { delayUs: WAY_US },
      profiles: {
        client: RENO,
        server: { ...RENO, receiveBufferBytes: 8000, windowShift: 0 },
      },
      clientSends: new SeededRandom(2).bytes(20_000),
      serverReadsLater: true,
      closesLast: 'server',
      onPacket: transcript.onPacket,
    });
    transcript.of(scene);
    scene.simulation.run(3 * SECOND_US);
    assert.is(scene.client.ended, undefined);
    transcript.note('the server begins to read');
    scene.read();
    end(scene, 20_000);
    compare('zero-window', transcript);
  });

  test('TIME-WAIT: the last ACK is lost, the FIN comes again, and the wait starts over (RFC 9293 3.6)', () => {
    const transcript = new Transcript();
    let lost = false;
    const scene = upload(100, transcript, (packet) => {
      const { id } = scene.client;
      const waits = id !== undefined && scene.simulation.host('client').stack.info(id)?.state === 'TIME-WAIT';
      if (!waits || lost || contentOf(packet).text > 0) return false;
      lost = true;
      return true;
    });
    scene.simulation.run(600 * SECOND_US, () => scene.client.ended !== undefined);
    transcript.note(`${scene.simulation.nowUs / 1000} ms: the client is closed`);
    end(scene, 100);
    assert.equal(scene.client.states.slice(-4), ['FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT', 'CLOSED']);
    compare('time-wait', transcript);
  });
});
