/**
 * The rooms of the house and which may import which. This table is the law; docs/architecture.md explains it.
 * A file belongs to the room with the longest path that begins its own.
 */

export interface Room {
  /** Path of the folder or file from the root. */
  readonly path: string;
  /** Paths of the rooms it may import besides itself, with the rooms inside them. */
  readonly imports: readonly string[];
  /** Modules of Node it may import, or 'any'. */
  readonly node: 'any' | readonly string[];
  /** npm packages it may import; a name that ends in / stands for all that begin with it. */
  readonly packages?: readonly string[];
  /** True where time and chance are handed in: no clock, timer or random source of its own. */
  readonly pure?: true;
}

const CONTRACT = ['daemon/contract.ts', 'base'];
const OPERATOR = ['operator', 'daemon/contract-parse.ts', ...CONTRACT];

export const ROOMS: readonly Room[] = [
  // Both programs and the command line may use it, and it knows neither.
  { path: 'base', imports: ['base/result.ts'], node: ['node:net', 'node:util'] },
  { path: 'base/result.ts', imports: [], node: [], pure: true },
  // What the system says of this process, and directories: no state of their own.
  { path: 'base/make-directory.ts', imports: [], node: ['node:fs/promises', 'node:path'] },
  { path: 'base/open-files.ts', imports: ['base'], node: ['node:fs'] },

  {
    path: 'daemon/contract.ts',
    imports: [
      'base',
      'daemon/contract-conntrack.ts',
      'daemon/contract-namespaces.ts',
      'daemon/contract-pressure.ts',
    ],
    node: [],
    pure: true,
  },
  { path: 'daemon/contract-conntrack.ts', imports: [], node: [], pure: true },
  { path: 'daemon/contract-namespaces.ts', imports: [], node: [], pure: true },
  { path: 'daemon/contract-pressure.ts', imports: CONTRACT, node: [], pure: true },
  {
    path: 'daemon/contract-parse.ts',
    imports: [
      'daemon/contract-parse-conntrack.ts',
      'daemon/contract-parse-namespaces.ts',
      'daemon/contract-parse-pressure.ts',
      ...CONTRACT,
    ],
    node: ['node:net'],
    pure: true,
  },
  { path: 'daemon/contract-parse-conntrack.ts', imports: CONTRACT, node: [], pure: true },
  { path: 'daemon/contract-parse-namespaces.ts', imports: CONTRACT, node: [], pure: true },
  { path: 'daemon/contract-parse-pressure.ts', imports: CONTRACT, node: [], pure: true },

  { path: 'daemon/wire', imports: ['base/result.ts'], node: [], pure: true },
  { path: 'daemon/tcp', imports: ['daemon/wire'], node: [], pure: true },
  // The socket API over the engine, which does not know it.
  { path: 'daemon/tcp/sockets', imports: ['daemon/tcp', 'daemon/wire'], node: [], pure: true },
  { path: 'daemon/netsim', imports: ['daemon/wire', 'daemon/tcp'], node: [], pure: true },
  { path: 'daemon/netlink', imports: ['base/result.ts'], node: [], pure: true },
  {
    path: 'daemon/kernel',
    imports: ['daemon/netlink', 'daemon/wire', 'base'],
    node: 'any',
    packages: ['koffi'],
  },
  { path: 'daemon/probe', imports: ['daemon/tcp', 'daemon/wire', ...CONTRACT], node: [], pure: true },
  {
    path: 'daemon/track',
    imports: ['daemon/kernel', 'daemon/netlink', 'daemon/wire', ...CONTRACT],
    node: 'any',
  },
  { path: 'daemon/report', imports: ['daemon/contract-parse.ts', ...CONTRACT], node: 'any' },
  {
    path: 'daemon/threads',
    imports: ['daemon/probe', 'daemon/tcp', 'daemon/wire', 'daemon/kernel', 'daemon/track', ...CONTRACT],
    node: 'any',
  },
  // The composition: main, http, settings and what else lies at the top of the agent.
  {
    path: 'daemon',
    imports: [
      'daemon/wire',
      'daemon/tcp',
      'daemon/netlink',
      'daemon/kernel',
      'daemon/probe',
      'daemon/track',
      'daemon/report',
      'daemon/threads',
      'daemon/contract-parse.ts',
      ...CONTRACT,
    ],
    node: 'any',
  },

  { path: 'operator', imports: OPERATOR, node: 'any' },
  { path: 'operator/telemetry', imports: OPERATOR, node: 'any', packages: ['@opentelemetry/'] },
  { path: 'operator/tls', imports: OPERATOR, node: 'any', packages: ['@peculiar/x509', 'reflect-metadata'] },
  { path: 'operator/kube', imports: OPERATOR, node: 'any', packages: ['@kubernetes/client-node'] },
  { path: 'operator/web', imports: OPERATOR, node: 'any', packages: ['express'] },

  { path: 'cli', imports: ['daemon', 'operator', 'base'], node: 'any' },
  { path: 'scripts', imports: [], node: 'any' },
  // What the chart runs by itself (helm test): a file that goes into a pod as it is.
  { path: 'charts', imports: [], node: 'any' },
  { path: 'bench', imports: ['daemon', 'base'], node: 'any' },
];

/** Tests may look into every room; these are the packages they are written with. */
export const TEST_PACKAGES = [
  'uvu',
  'fast-check',
  '@kubernetes/client-node',
  '@opentelemetry/',
  '@peculiar/x509',
  'reflect-metadata',
  'express',
  'koffi',
];
