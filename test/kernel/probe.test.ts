import * as assert from 'uvu/assert';
import type { ProbeResult } from '#contract';
import { spec } from '../harness.ts';
import { makeNetns, type Netns } from '../support/netns.ts';
import { PEER_PORTS } from './peers.ts';

const NEEDS = { needs: ['root', 'tun', 'netns'], timeoutMs: 180_000 } as const;
const NEEDS_NFT = { needs: ['root', 'tun', 'netns', 'nft'], timeoutMs: 180_000 } as const;

/** Probes inside a namespace; the results by their target, which is `HOST:PORT`. */
async function probe(
  ns: Netns,
  ...args: string[]
): Promise<{ results: ProbeResult[]; code: number | null; stderr: string }> {
  await using child = ns.finwait(['probe', '--json', ...args]);
  const { code } = await child.ended;
  const results = child.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ProbeResult);
  return { results, code, stderr: child.stderr };
}

function at(host: string, behaviour: keyof typeof PEER_PORTS): string {
  return `${host}:${PEER_PORTS[behaviour]}`;
}

function byPort(results: readonly ProbeResult[], behaviour: keyof typeof PEER_PORTS): ProbeResult {
  const found = results.find(({ remote }) => remote.port === PEER_PORTS[behaviour]);
  if (found === undefined) throw new Error(`no result for ${behaviour}`);
  return found;
}

async function withPeers(ns: Netns, ...args: string[]) {
  const peers = ns.start(process.execPath, ['test/kernel/peers.ts', ...args]);
  await peers.output(/ready/);
  return peers;
}

spec("the prober against this machine's own TCP", (test) => {
  test(
    'tells open, half-closed, reset and refused apart',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns);
      const behaviours = ['closes', 'keepsOpen', 'resets', 'speaksFirst', 'nobody'] as const;
      const targets = behaviours.map((behaviour) => at('127.0.0.1', behaviour));
      const { results, code, stderr } = await probe(ns, '--close-timeout', '3s', ...targets);
      assert.is(results.length, targets.length, stderr);
      const verdicts = Object.fromEntries(behaviours.map((name) => [name, byPort(results, name).verdict]));
      assert.equal(verdicts, {
        closes: 'open',
        keepsOpen: 'half-closed',
        resets: 'reset-on-close',
        speaksFirst: 'open',
        nobody: 'refused',
      });
      assert.is(code, 1);
      const open = byPort(results, 'closes');
      const { synAckReceivedUs = 0, finSentUs = 0, finReceivedUs = 0, lastAckSentUs = 0 } = open.steps;
      assert.ok(synAckReceivedUs > 0 && synAckReceivedUs <= finSentUs, 'steps are in order');
      assert.ok(finSentUs <= finReceivedUs && finReceivedUs <= lastAckSentUs, 'steps are in order');
      assert.is(open.hops, 0);
      assert.ok(Math.abs(open.startUs / 1000 - Date.now()) < 60_000, 'startUs is Unix time');
      assert.equal(open.options.accepted, {
        mss: 1460,
        windowScale: open.options.accepted?.windowScale ?? -1,
        sackPermitted: true,
        timestamps: true,
      });
      assert.match(byPort(results, 'speaksFirst').sentence, /spoke first/);
      const halfClosed = byPort(results, 'keepsOpen');
      assert.match(halfClosed.sentence, /kept its own side open for [23]\.\d+ s/);
      assert.ok(halfClosed.segments.at(-1)?.flags.includes('RST'), 'the peer is freed');
    },
    NEEDS,
  );

  test(
    'connects as another system would',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns);
      const shifts = { finwait: 3, linux: 8, freebsd: 6 };
      for (const [profile, windowScale] of Object.entries(shifts)) {
        const { results, stderr } = await probe(ns, '--profile', profile, at('127.0.0.1', 'closes'));
        assert.is(results[0]?.verdict, 'open', stderr);
        assert.is(results[0]?.options.offered.windowScale, windowScale, profile);
      }
    },
    NEEDS,
  );

  test(
    'leaves no socket behind at the peer',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns);
      await probe(ns, '--close-timeout', '300ms', at('127.0.0.1', 'keepsOpen'), at('127.0.0.1', 'closes'));
      // Sockets that are not listening: the table has a line for each.
      const table = await ns.run('cat', '/proc/net/tcp');
      const left = table
        .split('\n')
        .filter((line) => / (?!0A)[0-9A-F]{2} [0-9A-F]{8}:[0-9A-F]{8} /.test(line));
      assert.equal(left, []);
    },
    NEEDS,
  );

  test(
    'measures exchanges, and tells who hangs up on a request',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns);
      const behaviours = [
        'answers',
        'answersAndCloses',
        'hangsUp',
        'resetsOnRequest',
        'sendsMuch',
        'closes',
      ] as const;
      const targets = behaviours.map((behaviour) => at('127.0.0.1', behaviour));
      const { results } = await probe(ns, '--send', 'PING\\r\\n', '--exchange-timeout', '3s', ...targets);
      const verdicts = Object.fromEntries(behaviours.map((name) => [name, byPort(results, name).verdict]));
      assert.equal(verdicts, {
        answers: 'open',
        answersAndCloses: 'open',
        hangsUp: 'closed-in-exchange',
        resetsOnRequest: 'reset-in-exchange',
        sendsMuch: 'open',
        closes: 'exchange-timeout',
      });
      const answered = byPort(results, 'answers');
      assert.is(
        answered.segments.find(({ direction, length }) => direction === 'out' && length > 0)?.length,
        6,
      );
      assert.is(
        answered.segments.find(({ direction, length }) => direction === 'in' && length > 0)?.length,
        6,
      );
      assert.ok(byPort(results, 'sendsMuch').segmentsFolded > 0);
    },
    NEEDS,
  );

  test(
    'reaches listeners of ::1 alone, and tries the addresses of a name in turn',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns);
      const v6 = await probe(ns, at('[::1]', 'onlyV6'));
      assert.is(v6.results[0]?.verdict, 'open', v6.stderr);
      assert.is(v6.results[0]?.family, 6);
      assert.is(v6.code, 0);
      const both = await probe(ns, '--all', at('localhost', 'onlyV6'));
      if (both.results.length === 2) {
        assert.equal(both.results.map(({ verdict }) => verdict).sort(), ['open', 'refused']);
        assert.is(both.code, 1, 'with --all every address counts');
        const inTurn = await probe(ns, at('localhost', 'onlyV6'));
        assert.is(inTurn.results.at(-1)?.verdict, 'open');
        assert.is(inTurn.code, 0, 'a client ends up connected');
        assert.ok(
          (inTurn.results.at(-1)?.phases[0]?.fromUs ?? 0) < 0,
          'the name was resolved before the SYN',
        );
      }
      const only4 = await probe(ns, '-4', at('[::1]', 'onlyV6'));
      assert.is(only4.code, 1);
      assert.match(only4.stderr, /NAME_UNRESOLVED: ::1 is an IPv6 address, and only IPv4 is asked for/);
    },
    NEEDS,
  );

  test(
    'tells a packet filter that drops from one that rejects, and how it rejects',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns);
      const rules = [
        'add table inet t',
        'add chain inet t in { type filter hook input priority 0 ; }',
        `add rule inet t in tcp dport ${PEER_PORTS.closes} drop`,
        `add rule inet t in tcp dport ${PEER_PORTS.keepsOpen} reject with icmpx admin-prohibited`,
        `add rule inet t in tcp dport ${PEER_PORTS.resets} reject with icmpx port-unreachable`,
        `add rule inet t in tcp dport ${PEER_PORTS.speaksFirst} reject with icmpx host-unreachable`,
        `add rule inet t in tcp dport ${PEER_PORTS.answers} reject with tcp reset`,
        `add rule inet t in tcp dport ${PEER_PORTS.onlyV6} reject with icmpx admin-prohibited`,
      ];
      for (const rule of rules) await ns.run('nft', rule);
      const { results } = await probe(
        ns,
        '--connect-timeout',
        '2500ms',
        ...(['closes', 'keepsOpen', 'resets', 'speaksFirst', 'answers'] as const).map((each) =>
          at('127.0.0.1', each),
        ),
        at('[::1]', 'onlyV6'),
      );
      assert.is(byPort(results, 'closes').verdict, 'filtered');
      assert.match(
        byPort(results, 'closes').sentence,
        /did not answer 2 SYNs in \d\.\d+ s/,
        byPort(results, 'closes').sentence,
      );
      assert.is(byPort(results, 'keepsOpen').verdict, 'rejected');
      assert.match(byPort(results, 'keepsOpen').sentence, /administratively prohibited \(3\/13\)/);
      assert.match(
        byPort(results, 'resets').sentence,
        /port unreachable \(3\/3\).*a firewall rule rejects it/,
      );
      assert.is(byPort(results, 'speaksFirst').verdict, 'rejected');
      assert.match(byPort(results, 'speaksFirst').sentence, /host unreachable \(3\/1\)/);
      assert.is(
        byPort(results, 'speaksFirst').retransmits.syn,
        1,
        'an error that may pass is given a second chance',
      );
      assert.is(byPort(results, 'answers').verdict, 'refused');
      assert.match(byPort(results, 'onlyV6').sentence, /administratively prohibited \(1\/1\)/);
    },
    NEEDS_NFT,
  );

  test(
    'sees an accept queue without room from the repeated SYN-ACK',
    async () => {
      await using ns = await makeNetns('probe');
      await using _peers = await withPeers(ns, 'never-accepts');
      await ns.run('sysctl', '-qw', 'net.ipv4.tcp_syncookies=0');
      // The kernel admits all eight SYNs before the first ACK takes one of the three places that are left: it has
      // to send each SYN-ACK (60 bytes) again.
      const firstEight = 'tcp flags & (syn|ack) == syn|ack quota until 480 bytes drop';
      await ns.run(
        'nft',
        `table ip fw { chain out { type filter hook output priority 0; ${firstEight}; }; }`,
      );
      const targets = Array.from({ length: 8 }, () => at('127.0.0.1', 'neverAccepts'));
      const { results } = await probe(ns, '--close-timeout', '5s', '--connect-timeout', '5s', ...targets);
      const full = results.filter(({ verdict }) => verdict === 'accept-queue-full');
      assert.is(full.length, 5, results.map(({ verdict }) => verdict).join());
      for (const { segments } of full) {
        assert.ok(segments.filter(({ flags }) => flags.join() === 'SYN,ACK').length > 1);
      }
      // To one who comes later the kernel does not answer at all; its socket table says why.
      const later = await probe(ns, '--connect-timeout', '1500ms', at('127.0.0.1', 'neverAccepts'));
      assert.is(later.results[0]?.verdict, 'accept-queue-full');
      assert.equal(later.results[0]?.steps.synAckReceivedUs, undefined);
    },
    NEEDS_NFT,
  );
});
