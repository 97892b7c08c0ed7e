/** The reports as they are in the API server, and how they are written there. */

import { createHash } from 'node:crypto';
import type { TcpReportSpec, TcpReportStatus } from '../../api/v1alpha1/tcp-report.ts';
import type { Workload } from '../../workloads/workload.ts';

export const FIELD_MANAGER = 'finwait-reports';
const NAME_LENGTH = 253;
const HASH_LENGTH = 8;
/** RFC 1123, as the API server wants the names of objects. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** What is kept of a report that exists. */
export interface StoredReport<Status> {
  readonly name: string;
  /** UID of what the report is of, as it was when the report was made; empty when nobody owns it. */
  readonly ownerUid: string;
  readonly status: Status | undefined;
}

export interface StoredTcpReport extends StoredReport<TcpReportStatus> {
  readonly workload: Workload;
}

interface ReportObject<Status> {
  readonly metadata?: {
    readonly namespace?: string;
    readonly name?: string;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
  readonly spec?: Partial<TcpReportSpec>;
  readonly status?: Status;
}

export function storedReport<Status>(object: unknown): StoredReport<Status> {
  const { metadata = {}, status } = object as ReportObject<Status>;
  return { name: metadata.name ?? '', ownerUid: metadata.ownerReferences?.[0]?.uid ?? '', status };
}

export function storedTcpReport(object: unknown): StoredTcpReport {
  const { metadata = {}, spec = {} } = object as ReportObject<TcpReportStatus>;
  const stored = storedReport<TcpReportStatus>(object);
  const { apiVersion = '', kind = '', name = '' } = spec.workload ?? {};
  const namespace = metadata.namespace ?? '';
  return { ...stored, workload: { apiVersion, kind, name, namespace, uid: stored.ownerUid } };
}

/** The name of the TCPReport of a workload: `deployment-shop`; one that would be no name or too long ends in a hash. */
export function reportName({ kind, name }: Pick<Workload, 'kind' | 'name'>): string {
  const plain = `${kind.toLowerCase()}-${name}`;
  if (plain.length <= NAME_LENGTH && SUBDOMAIN.test(plain)) return plain;
  const hash = createHash('sha256').update(`${kind}/${name}`).digest('hex').slice(0, HASH_LENGTH);
  const words = plain.match(/[a-z0-9]+/g) ?? [];
  return `${words.join('-').slice(0, NAME_LENGTH - HASH_LENGTH - 2)}-${hash}`.replace('--', '-');
}

/** The one who owns a report, so that the garbage collector takes it along. */
export function ownerReference({ apiVersion, kind, name, uid }: Omit<Workload, 'namespace'>): object {
  return { apiVersion, kind, name, uid };
}
