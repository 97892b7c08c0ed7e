/** `finwait conntrack delete`: makes the kernel forget one flow, named by its original tuple and zone. */

import { FinwaitError } from '#base/errors.ts';
import { integer, readSettings } from '#base/settings.ts';
import { ENOENT } from '../daemon/kernel/libc.ts';
import { NetlinkError, NetlinkSocket } from '../daemon/kernel/netlink-socket.ts';
import type { FlowName } from '../daemon/netlink/conntrack-requests.ts';
import { encodeFlowDelete, encodeFlowGet } from '../daemon/netlink/conntrack-requests.ts';
import type { ConntrackFlow } from '../daemon/netlink/ctnetlink.ts';
import { decodeFlow, NETLINK_NETFILTER } from '../daemon/netlink/ctnetlink.ts';
import { flowOf } from '../daemon/track/conntrack-flows.ts';
import { readingConntrack } from '../daemon/track/refusals.ts';
import type { IpAddress } from '../daemon/wire/address.ts';
import { parseIpAddress } from '../daemon/wire/address.ts';
import { OFFLOADED } from './conntrack-rows.ts';
import { endText, natCell } from './conntrack-view.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { inside, PLACE_SETTINGS } from './place.ts';
import { switchOf } from './table.ts';

const DELETE_SETTINGS = {
  zone: {
    name: 'zone',
    placeholder: 'ZONE',
    doc: 'the zone of the flow',
    default: 0,
    parse: integer(0, 65_535),
  },
  netns: PLACE_SETTINGS.netns,
  yes: switchOf('yes', undefined, 'do it; without it only what would be done is told'),
} as const;

const HELP: CommandHelp = {
  usage: 'finwait conntrack delete SOURCE DESTINATION [--zone ZONE] --yes',
  about: [
    'Makes the kernel forget one TCP flow of this network namespace, or of that given. SOURCE and DESTINATION are ADDRESS:PORT as',
    'finwait conntrack shows them: those of the first packet, before NAT. Neither end is told: the sockets stay as they',
    'are. The next packet begins a new flow, which may get other NAT, or none, and may be dropped as invalid.',
  ].join('\n'),
  settings: DELETE_SETTINGS,
  examples: [
    [
      'finwait conntrack --nat --port 5432',
      'where connections are sent; SOURCE and DESTINATION are the names',
    ],
    ['finwait conntrack delete 10.244.0.7:40112 10.96.0.20:5432 --yes', 'that one and no other'],
  ],
  notes: ['It needs root (CAP_NET_ADMIN).'],
};

export async function runDelete(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(DELETE_SETTINGS, args, io.env);
  const [source, destination] = positionals.map(endOf);
  if (source === undefined || destination === undefined || positionals.length > 2) {
    throw usage('it takes SOURCE and DESTINATION, so that no other flow is hit');
  }
  if (source.address.family !== destination.address.family) {
    throw usage('SOURCE and DESTINATION are not of one address family');
  }
  const name: FlowName = {
    source: source.address.bytes,
    destination: destination.address.bytes,
    sourcePort: source.port,
    destinationPort: destination.port,
    zone: settings.zone,
  };
  const { netns } = settings;
  const found = inside(netns, () => find(name));
  const what = describe(found, settings.zone);
  if (!settings.yes) {
    io.stdout.write(`would delete ${what}\n${CONSEQUENCE}\n`);
    throw usage('nothing was done: --yes is missing');
  }
  // The id keeps a successor of the same name from being hit.
  inside(netns, () =>
    asking((socket) => socket.request((seq) => encodeFlowDelete(seq, name, found.id), 'delete the flow')),
  );
  io.stdout.write(`deleted ${what}\n${CONSEQUENCE}\n`);
  return EXIT.ok;
}

const CONSEQUENCE =
  'the sockets at both ends stay as they are; the next packet begins a new flow, with other NAT or none';

function describe(flow: ConntrackFlow, zone: number): string {
  const shown = flowOf(flow, () => null, 0);
  const nat = natCell(shown).text;
  return [
    `${shown.state ?? OFFLOADED} ${endText(shown.source)} → ${endText(shown.destination)}`,
    ...(nat === '-' ? [] : [nat]),
    ...(zone === 0 ? [] : [`in zone ${zone}`]),
  ].join(' ');
}

/** @throws FinwaitError FLOW_NOT_FOUND, CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED */
function find(name: FlowName): ConntrackFlow {
  let found: ConntrackFlow | undefined;
  asking((socket) =>
    socket.request(
      (seq) => encodeFlowGet(seq, name),
      'look for the flow',
      ({ payload }) => {
        const flow = decodeFlow(payload.slice());
        if (flow.ok) found = flow.value;
      },
    ),
  );
  if (found === undefined) throw notFound();
  if (!isNamed(found, name)) throw notFound(shownName(found));
  return found;
}

/** The kernel finds a flow by the tuple of its answers as well. */
function isNamed({ original }: ConntrackFlow, name: FlowName): boolean {
  return (
    original.sourcePort === name.sourcePort &&
    original.destinationPort === name.destinationPort &&
    Buffer.compare(original.source, name.source) === 0 &&
    Buffer.compare(original.destination, name.destination) === 0
  );
}

function shownName(flow: ConntrackFlow): string {
  const { source, destination } = flowOf(flow, () => null, 0);
  return `${endText(source)} ${endText(destination)}`;
}

function asking(ask: (socket: NetlinkSocket) => void): void {
  readingConntrack(() => {
    using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    try {
      ask(socket);
    } catch (error) {
      throw error instanceof NetlinkError && error.errno === ENOENT ? notFound() : error;
    }
  });
}

/** @param answered the name of the flow whose answers have the name that was given */
function notFound(answered?: string): FinwaitError {
  return new FinwaitError(
    'FLOW_NOT_FOUND',
    'conntrack has no flow of this name in this network namespace',
    answered === undefined
      ? 'it may be gone; names are those of the first packet, before NAT: look with finwait conntrack'
      : `its answers have this name: the flow is ${answered}`,
  );
}

function usage(problem: string): FinwaitError {
  return new FinwaitError('USAGE', problem, 'finwait conntrack delete --help tells what it takes');
}

function endOf(text: string): { readonly address: IpAddress; readonly port: number } {
  const [, host = '', port = ''] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  const address = parseIpAddress(host.replace(/^\[(.*)\]$/, '$1'));
  if (address.ok && Number(port) <= 65_535) return { address: address.value, port: Number(port) };
  throw usage(`${JSON.stringify(text)} is not ADDRESS:PORT`);
}
